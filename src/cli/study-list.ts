// `septum study list`: a line for each study of a server's folder.

import type { StudyStatus } from '../store/index.ts';
import { studyStatuses } from '../study/index.ts';
import type { StudyListFlags } from './commands/study.ts';
import { fail } from './exit.ts';

export async function listStudies({ state, json }: StudyListFlags): Promise<number> {
  try {
    const { studies, served } = await studyStatuses(state);
    process.stdout.write(json ? `${JSON.stringify({ served, studies }, null, 2)}\n` : textOf(studies, served));
    return 0;
  } catch (error) {
    return fail(error);
  }
}

const headings = ['study', 'state', 'epoch', 'sites connected', 'last commit'];

function textOf(studies: readonly StudyStatus[], served: boolean): string {
  const rows = [headings, ...studies.map((study) => rowOf(study, served))];
  const widths = headings.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const remarks = studies.filter(({ reason }) => reason !== '').map(({ name, reason }) => `${name}: ${reason}`);
  return `${[...lines, ...remarks, ...(served ? [] : ['no server runs with this folder'])].join('\n')}\n`;
}

function rowOf({ name, state, wish, epoch, epochs, sites, commit }: StudyStatus, served: boolean): string[] {
  const left = sites.filter(({ withdrawn }) => withdrawn).length;
  const connected = served ? sites.filter((site) => site.connected).length : 0;
  const noted = wishInWords(state, wish);
  return [
    name,
    `${state}${noted}`,
    `${epoch}/${epochs}`,
    `${connected} of ${sites.length - left}${left > 0 ? ` (${left} withdrawn)` : ''}`,
    commit
      ? `step ${commit.step}, ${new Date(commit.atMs).toISOString().slice(0, 16).replace('T', ' ')} UTC${commit.whole ? '' : ', not yet at all sites'}`
      : 'none',
  ];
}

/** What the operator wants that has not happened yet. */
function wishInWords(state: StudyStatus['state'], wish: StudyStatus['wish']): string {
  if (wish === 'pause' && (state === 'running' || state === 'waiting')) return ', to pause';
  if (wish === 'stop' && state !== 'stopped' && state !== 'done') return ', to stop';
  if (wish === 'run' && state === 'paused') return ', to go on';
  return '';
}
