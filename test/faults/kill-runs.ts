// Studies of real processes, `septum server` and two times `septum site`, one or all of which are killed with SIGKILL at a moment that is
// dealt by a seed, and started again.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Running, StartOptions } from '../e2e/septum.ts';
import type { Dice } from './mutations.ts';
import { epochs, type ProcessOutcome, ProcessStudy, sites, type StudyText } from './process-study.ts';

export const phases = ['compute', 'send', 'write', 'rename', 'acknowledge'] as const;
/** Moments at a study's end, when no step is made any more. */
export const endPhases = ['results', 'end'] as const;
export type Phase = (typeof phases)[number] | (typeof endPhases)[number];
export const victims = ['server', 'site', 'all'] as const;
export type Victim = (typeof victims)[number];

/** A study, and who dies in it. */
export interface KillStudy extends StudyText {
  readonly victims?: readonly Victim[];
  /** Left out: all. */
  readonly phases?: readonly Phase[];
}

const arrival = 'order: arrival';

export const studies: readonly KillStudy[] = [
  { name: 'union-mirrored', choices: 'labels: server' },
  { name: 'union-mirrored-adam', choices: 'labels: server', training: 'optimizer: { kind: adam }' },
  { name: 'union-private-secret', choices: 'labels: server, segments: private, segmentSeed: site' },
  { name: 'union-average', choices: 'labels: server, segments: average', training: 'roundSteps: 2' },
  { name: 'labels-at-sites', choices: 'labels: site' },
  { name: 'turns-relay', choices: 'labels: server, order: turns, segments: relay', training: 'turnSteps: 1' },
  { name: 'turns-average', choices: 'labels: server, order: turns, segments: average' },
  { name: 'averaged-average', choices: 'labels: server, order: none, trunk: averaged, segments: average' },
  { name: 'averaged-private', choices: 'labels: server, order: none, trunk: averaged, segments: private' },
  { name: 'buffered-mirrored', choices: 'labels: server, when: buffered', training: 'windowSteps: 3' },
  {
    name: 'buffered-private',
    choices: 'labels: server, when: buffered, segments: private',
    training: 'windowSteps: 2',
  },
  // What these end with is what the log of their order says: replay-order.ts.
  { name: 'arrival-private', choices: `labels: server, ${arrival}, segments: private`, training: 'select: last' },
  { name: 'arrival-average', choices: `labels: site, ${arrival}, segments: average`, training: 'select: last' },
  {
    name: 'arrival-buffered-fair',
    choices: `labels: server, when: buffered, ${arrival}, segments: private`,
    training: 'select: last, windowSteps: 3, discipline: fair',
  },
  {
    name: 'arrival-buffered-fifo',
    choices: `labels: server, when: buffered, ${arrival}, segments: average`,
    training: 'select: last, windowSteps: 3, discipline: fifo',
  },
  {
    name: 'arrival-buffered-least-served',
    choices: `labels: server, when: buffered, ${arrival}, segments: private`,
    training: 'select: last, windowSteps: 2, discipline: least-served',
  },
  { name: 'ct-cnn', choices: 'labels: server', images: true },
  { name: 'ct-cnn-private', choices: 'labels: server, segments: private', images: true },
  // Its sites send nothing after their upload; the server dies, which says nothing either.
  {
    name: 'detached',
    choices: 'labels: server, when: detached, order: none',
    victims: ['server'],
    phases: ['write', 'rename'],
  },
];

/** Who is to die, when. */
export interface Death {
  readonly victim: Victim;
  /** Whose process is killed first. */
  readonly first: 'server' | (typeof sites)[number];
  readonly phase: Phase;
  readonly nth: number;
  readonly late: boolean;
}

/** Deals a death in `phase`. */
export function dealDeath(dice: Dice, phase: Phase, { victims: allowed = victims }: KillStudy): Death {
  const victim = allowed[dice.integer(allowed.length)] as Victim;
  const first = victim === 'server' || (victim === 'all' && dice.integer(2) === 0) ? 'server' : sites[dice.integer(2)];
  // An epoch is two to six steps of a site, and as many messages or more.
  const ofCommits = phase === 'write' || phase === 'rename' || phase === 'acknowledge';
  const nth = ofCommits ? 1 + dice.integer(epochs - 1) : 8 + dice.integer(16);
  return { victim, first: first as Death['first'], phase, nth, late: dice.integer(2) === 0 };
}

/** What a study whose processes were killed ended with. */
export interface KillOutcome extends ProcessOutcome {
  /** How the process that was killed first ended. */
  readonly signal: NodeJS.Signals | null;
  /** Steps that were made again. */
  readonly redone: number;
  /** Server steps that count, in order, as the server's log has them. */
  readonly steps: readonly number[];
}

/** What a process is started with that is to kill itself then (kill-at.mjs). */
export function killedAt({ phase, nth, late }: Pick<Death, 'phase' | 'nth' | 'late'>): StartOptions {
  return {
    node: ['--import', new URL('kill-at.mjs', import.meta.url).href],
    env: { SEPTUM_KILL_AT: JSON.stringify({ phase, nth, late }) },
  };
}

/** Runs the study in `place` with its state in `stateDir`; the dead are started again. */
export async function runStudy(
  place: string,
  stateDir: string,
  death?: Death,
  serverFlags: readonly string[] = [],
): Promise<KillOutcome> {
  const study = await ProcessStudy.prepare(place, stateDir);
  const { processes } = study;
  const dying = (name: string): StartOptions => (death?.first === name ? killedAt(death) : {});
  await study.server(dying('server'), ...serverFlags);
  for (const name of sites) study.site(name, dying(name));

  let signal: NodeJS.Signals | null = null;
  if (death) {
    const ended = await (processes.get(death.first) as Running).ended;
    signal = ended.signal;
    if (signal !== 'SIGKILL') throw new Error(`${death.first} was to be killed, but ended by itself:\n${ended.stderr}`);
    const dead = death.victim === 'all' ? ['server', ...sites] : [death.first];
    const killed = dead.map((name) => processes.get(name) as Running);
    for (const { child } of killed) child.kill('SIGKILL');
    const codes = new Map<string, number | null>();
    for (const [place, name] of dead.entries()) codes.set(name, (await (killed[place] as Running).ended).code);
    // One that had ended well before it could be killed is not started again.
    const restarted = dead.filter((name) => codes.get(name) !== 0);
    if (restarted.includes('server')) await study.server({}, ...serverFlags);
    for (const name of restarted) if (name !== 'server') study.site(name);
  }
  return { ...(await study.ended()), signal, ...stepsIn(join(study.folder('server'), 'log.jsonl')) };
}

/** The steps that count, and how many were undone: what came after the commit from which a study went on is not among those that count. */
function stepsIn(logFile: string): Pick<KillOutcome, 'steps' | 'redone'> {
  const steps: number[] = [];
  let redone = 0;
  let runs = 0;
  for (const line of readFileSync(logFile, 'utf8').trimEnd().split('\n')) {
    const entry = JSON.parse(line) as { readonly event: string; readonly step: number };
    if (entry.event === 'run') runs += 1;
    if (entry.event === 'step') {
      // A server that was started again before its first commit says nothing of going on: it begins.
      if (runs > 1 && entry.step === 0 && steps.length > 0) redone += steps.splice(0).length;
      steps.push(entry.step);
    }
    if (entry.event === 'resumed') redone += steps.splice(entry.step).length;
  }
  return { steps, redone };
}
