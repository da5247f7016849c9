// Processes of a study are killed at any moment, and started again: it ends with the bits of a study that nobody disturbed, and no step was
// made twice or left out. SEPTUM_KILL_RUNS sets how many runs there are, SEPTUM_SEED where they begin: `npm run faults -- --seed N --runs N`.

import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { folder } from '../e2e/septum.ts';
import { dealDeath, type KillOutcome, type KillStudy, type Phase, phases, runStudy, studies } from './kill-runs.ts';
import { Dice } from './mutations.ts';
import { stepsInAll, writeStudy } from './process-study.ts';
import { orderIn, replayOrder } from './replay-order.ts';

const runs = Number(process.env['SEPTUM_KILL_RUNS'] ?? 10);
const firstSeed = Number(process.env['SEPTUM_SEED'] ?? 1);

let place: string;
const undisturbed = new Map<string, Promise<KillOutcome>>();
const redone: number[] = [];
beforeAll(() => {
  place = folder();
});

/** The study's folder, and what it ends with when nobody disturbs it. */
function undisturbedRun(study: KillStudy): Promise<KillOutcome> {
  const known = undisturbed.get(study.name);
  if (known) return known;
  const ran = writeStudy(join(place, study.name), study).then(() =>
    runStudy(join(place, study.name), join(place, `${study.name}-undisturbed`)),
  );
  undisturbed.set(study.name, ran);
  return ran;
}

describe('a study whose processes are killed', () => {
  test.each(
    Array.from({ length: runs }, (_, run) => {
      const seed = firstSeed + run;
      const study = studies[Math.floor(seed / 2) % studies.length] as KillStudy;
      const { phases: dealt = phases } = study;
      const phase = dealt[seed % dealt.length] as Phase;
      return { seed, phase, study, name: study.name };
    }),
  )('seed $seed: $name, killed at $phase', { timeout: 300_000 }, async ({ seed, phase, study }) => {
    const byArrival = study.choices.includes('order: arrival');
    const expected = byArrival ? undefined : await undisturbedRun(study);
    if (byArrival) await writeStudy(join(place, study.name), study);
    const death = dealDeath(new Dice(seed, 'deaths'), phase, study);
    const { signal, steps, ...outcome } = await runStudy(join(place, study.name), join(place, `run-${seed}`), death);
    redone.push(outcome.redone);
    process.stdout.write(
      `seed ${seed}: ${study.name}, ${death.victim} (${death.first}) at ${death.phase} ${death.nth}${death.late ? ', after it' : ''}: ${signal}, ${outcome.redone} steps redone\n`,
    );
    expect(signal).toBe('SIGKILL');
    expect(steps).toEqual(Array.from({ length: stepsInAll }, (_, step) => step));
    if (expected) {
      expect(expected.steps).toEqual(steps);
      expect(outcome.figures).toEqual(expected.figures);
      expect(outcome.parameters).toEqual(expected.parameters);
      return;
    }
    const server = join(place, `run-${seed}`, 'server');
    expect(orderIn(server).map(({ step }) => step)).toEqual(steps);
    const replayed = await replayOrder(join(place, study.name), server);
    // With one segment for all the server's commit has it too.
    const all = new Set(Object.values(replayed).flat());
    for (const [party, tensors] of Object.entries(replayed)) {
      const words = outcome.parameters[party]?.split('\n') ?? [];
      expect(words).toEqual(expect.arrayContaining(tensors));
      expect(words.filter((word) => /^(trunk|segment|head)\.w/.test(word) && !all.has(word))).toEqual([]);
    }
  });

  afterAll(() => {
    const some = redone.filter((steps) => steps > 0).length;
    process.stdout.write(`${redone.length} kill runs, ${some} of which made steps again\n`);
  });

  test('at least half of the runs make one step or more again', () => {
    expect(redone).toHaveLength(runs);
    expect(redone.filter((steps) => steps > 0).length * 2).toBeGreaterThanOrEqual(redone.length);
  });
});
