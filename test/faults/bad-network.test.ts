// Studies over networks that lose, delay, double, reorder, cut short and spoil what they carry: they end with the bits of an undisturbed run.
// SEPTUM_FAULT_RUNS sets how many runs there are, SEPTUM_SEED where they begin.

import { describe, expect, test } from 'vitest';
import { connectWebSocket, listenWebSocket } from '../../src/transport/node/index.ts';
import { type FaultKind, faultKinds, faultyConnection } from '../../src/transport/index.ts';
import { planStudy, type TestStudy } from '../harness/study.ts';
import { fastClock, type Outcome, type Planned, serve, takePart } from './party.ts';

const runs = Number(process.env['SEPTUM_FAULT_RUNS'] ?? 10);
const firstSeed = Number(process.env['SEPTUM_SEED'] ?? 1);
const counts = [30, 20, 10];
const training = { epochs: 6 };
/** The modes that are dealt to the runs in turn. */
const modes: readonly (readonly [string, TestStudy])[] = [
  ['union, mirrored', { counts, training }],
  ['union, mirrored, labels at the sites', { counts, training, choices: { labels: 'site' } }],
  ['union, private', { counts, training, choices: { segments: 'private' } }],
  ['union, average', { counts, training: { ...training, roundSteps: 2 }, choices: { segments: 'average' } }],
  ['turns, relay', { counts, training: { ...training, turnSteps: 1 }, choices: { order: 'turns', segments: 'relay' } }],
  ['averaged, private', { counts, training, choices: { order: 'none', trunk: 'averaged', segments: 'private' } }],
  [
    'buffered union, private',
    { counts, training: { ...training, windowSteps: 3, batch: 6 }, choices: { when: 'buffered', segments: 'private' } },
  ],
  [
    'buffered union, mirrored',
    { counts, training: { ...training, windowSteps: 4, batch: 6 }, choices: { when: 'buffered' } },
  ],
  ['detached', { counts, training: { augmentPasses: 20 }, choices: { when: 'detached', order: 'none' } }],
];
/** All waits are so many times shorter: time-outs, pauses, delays and stalls. */
const speedup = 20;
const shares: Readonly<Record<FaultKind, number>> = {
  drop: 0.005,
  delay: 0.05,
  duplicate: 0.02,
  reorder: 0.02,
  truncate: 0.02,
  corrupt: 0.02,
  stall: 0.02,
  disconnect: 0.02,
};
const met = new Map<FaultKind, number>(faultKinds.map((kind) => [kind, 0]));
const resultOf = ({ parameters, figures }: Outcome) => ({ parameters, figures });

/** Runs the study; each site's connections are bad where there is a seed for it. */
async function runOver(planned: Planned, seed?: number) {
  const listener = await listenWebSocket();
  const clock = fastClock(speedup);
  let faults = 0;
  const onFault = (kind: FaultKind): void => {
    faults += 1;
    met.set(kind, (met.get(kind) ?? 0) + 1);
  };
  const connectOf = (site: number) => {
    let opened = 0;
    return async (signal: AbortSignal) => {
      const connection = await connectWebSocket(listener.address, { signal });
      const place = [site, opened++];
      return seed === undefined ? connection : faultyConnection(connection, { seed, place, shares, clock, onFault });
    };
  };
  const settings = { clock, timeoutMs: 10_000 * speedup, silenceTimeoutMs: 2000 * speedup };
  const parties = [
    serve(planned, listener, settings),
    ...counts.map((_, site) => takePart(planned, site, connectOf(site), settings)),
  ];
  const ends = await Promise.all(parties);
  return { results: ends.map(resultOf), faults };
}

const undisturbed = new Map<string, ReturnType<typeof runOver>>();

describe('a study over a bad network', () => {
  test.each(
    Array.from({ length: runs }, (_, run) => {
      const seed = firstSeed + run;
      const [name, study] = modes[seed % modes.length] as (typeof modes)[number];
      return { name, study, seed };
    }),
  )('ends with the same bits: $name, seed $seed', { timeout: 120_000 }, async ({ name, study, seed }) => {
    const planned = planStudy(study);
    const expected = undisturbed.get(name) ?? runOver(planned);
    undisturbed.set(name, expected);
    const { results, faults } = await runOver(planned, seed);
    expect(faults).toBeGreaterThanOrEqual(3);
    expect(results).toEqual((await expected).results);
  });

  test('meets every kind of fault', () => {
    console.info(`faults of ${runs} runs:`, Object.fromEntries(met));
    expect([...met].filter(([, count]) => count === 0)).toEqual([]);
  });
});
