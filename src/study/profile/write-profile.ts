// What the processes of a study left in a folder becomes one Chrome trace and a table.

import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from '../../base/index.ts';
import type { ProcessProfile } from './recorder.ts';
import { readOperations } from './runtime-files.ts';
import { type ProfileTable, profileTable } from './table.ts';
import { traceEvents } from './trace.ts';

/** Steps in the trace at most: the table is of all of them, the trace of the last. */
const tracedStepsMost = 20;

/**
 * Writes the trace file and gives the table. Throws DataError `too-few-records` when the server did not come to the steps that count, and
 * what writing throws.
 */
export async function writeProfile(folder: string, file: string): Promise<ProfileTable> {
  const profiles = await readProfiles(folder);
  const window = profiles[0]?.window;
  if (!window)
    throw new DataError(
      'too-few-records',
      'the study ended before the steps that were to be profiled: give it more steps',
    );
  const operations = await readOperations(folder, window.fromUs, window.toUs);
  const table = profileTable(profiles, operations) as ProfileTable;
  const stepUs = (window.toUs - window.fromUs) / window.steps;
  const fromUs = Math.max(window.fromUs, window.toUs - tracedStepsMost * stepUs);
  const shown = operations.filter(({ toUs }) => toUs >= fromUs);
  const trace = {
    traceEvents: traceEvents(profiles, shown, fromUs, window.toUs),
    displayTimeUnit: 'ms',
    otherData: { steps: window.steps, dropped: profiles.reduce((sum, { dropped }) => sum + dropped, 0) },
  };
  await writeFile(file, JSON.stringify(trace));
  return table;
}

/** The server's first, then the sites' by name. */
async function readProfiles(folder: string): Promise<ProcessProfile[]> {
  const profiles: ProcessProfile[] = [];
  for (const file of await readdir(folder)) {
    if (file.endsWith('.spans.json'))
      profiles.push(JSON.parse(await readFile(join(folder, file), 'utf8')) as ProcessProfile);
  }
  const rank = ({ process }: ProcessProfile): number => (process === 'server' ? 0 : 1);
  return profiles.sort((a, b) => rank(a) - rank(b) || a.process.localeCompare(b.process, 'en'));
}
