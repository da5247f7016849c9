// Studies over networks that lose, delay, double, reorder, cut short and spoil what they carry: they end with the bits of an undisturbed run.
// SEPTUM_FAULT_RUNS sets how many runs there are, SEPTUM_SEED where they begin. With `arrival` it is the replay of the log that they equal.

import { describe, expect, test } from 'vitest';
import { randomStream } from '../../src/base/index.ts';
import { allowedChoices, type Choices, describeChoices } from '../../src/protocol/index.ts';
import { connectWebSocket, listenWebSocket } from '../../src/transport/node/index.ts';
import { type FaultKind, faultKinds, faultyConnection } from '../../src/transport/index.ts';
import { type OrderEntry, planStudy, smallCnn, type TestStudy } from '../harness/study.ts';
import { fastClock, type Outcome, type Planned, serve, takePart } from './party.ts';
import { replayLog } from './replay-log.ts';

const runs = Number(process.env['SEPTUM_FAULT_RUNS'] ?? 10);
const firstSeed = Number(process.env['SEPTUM_SEED'] ?? 1);
const counts = [30, 20, 10];
const windowSteps = 3;

/** A study of the choices: short turns and rounds, and steps enough for a window. */
function studyOf(choices: Choices, network: TestStudy['network']): TestStudy {
  const { when, order, segments } = choices;
  const training = {
    epochs: 6,
    ...(when === 'buffered' ? { windowSteps, batch: 6 } : {}),
    ...(when === 'detached' ? { augmentPasses: 20 } : {}),
    ...(order === 'turns' ? { turnSteps: 1 } : {}),
    ...(order === 'union' && segments === 'average' ? { roundSteps: when === 'buffered' ? 4 : 2 } : {}),
    // The reference that replays a log ends with the last epoch's model.
    ...(order === 'arrival' ? { select: 'last' as const } : {}),
  };
  return { counts, training, choices, ...(network ? { network } : {}) };
}

/** Every mode, of both networks. */
const all = allowedChoices().flatMap((choices) =>
  [undefined, smallCnn].map((network): readonly [string, TestStudy] => [
    `${network ? 'ct-cnn' : 'lipid-mlp'}, ${describeChoices(choices)}`,
    studyOf(choices, network),
  ]),
);
/** They are dealt to the runs in turn, mixed so that a few runs meet unlike ones. */
const modes = Array.from(randomStream(0, 'modes of bad networks').permutation(all.length), (place) => all[place]!);
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
  const log: OrderEntry[] = [];
  const parties = [
    serve(planned, listener, { ...settings, log }),
    ...counts.map((_, site) => takePart(planned, site, connectOf(site), settings)),
  ];
  const ends = await Promise.all(parties);
  return { results: ends.map(resultOf), faults, log };
}

const undisturbed = new Map<string, ReturnType<typeof runOver>>();

describe('a study over a bad network', () => {
  test.each(
    Array.from({ length: runs }, (_, run) => {
      const seed = firstSeed + run;
      const [name, study] = modes[seed % modes.length] as (typeof modes)[number];
      return { name, study, seed };
    }),
  )('ends with the same bits: $name, seed $seed', { timeout: 300_000 }, async ({ name, study, seed }) => {
    const planned = planStudy(study);
    const { results, faults, log } = await runOver(planned, seed);
    expect(faults).toBeGreaterThanOrEqual(3);
    if (study.choices?.order === 'arrival') {
      // Who came when is chance: what it comes to is what the log says.
      expect(results.slice(1).map(({ parameters }) => parameters)).toEqual(await replayLog(planned, log));
      return;
    }
    const expected = undisturbed.get(name) ?? runOver(planned);
    undisturbed.set(name, expected);
    expect(results).toEqual((await expected).results);
  });

  test('meets every kind of fault', () => {
    console.info(`faults of ${runs} runs:`, Object.fromEntries(met));
    expect([...met].filter(([, count]) => count === 0)).toEqual([]);
  });
});
