// Studies of every mode under a fuzzer, within one process: real server, real sites and real sessions over the transport in memory. Every
// study ends with the bits that it has when nobody attacks it.

import { allowedChoices, describeChoices } from '../../src/protocol/index.ts';
import { systemClock } from '../../src/base/node/index.ts';
import type { Clock } from '../../src/base/index.ts';
import { createMemoryListener } from '../../src/transport/index.ts';
import { planStudy, type TestStudy, twoClasses } from '../harness/study.ts';
import { type FuzzBooks, Fuzzer } from './fuzzer.ts';
import { HostileProxy } from './hostile-proxy.ts';
import { count, type Outcome, type Planned, serve, takePart, type Tally } from './party.ts';

export interface FuzzOrder {
  readonly seed: number;
  /** Bad frames in all. */
  readonly frames: number;
}

export interface FuzzResult extends FuzzBooks {
  /** Bad frames by the mode of the study. */
  readonly byMode: Tally;
  readonly studies: number;
  readonly atServer: Tally;
  readonly atSites: Tally;
  /** The most that the process held at any time over what it held when every kind of study had been attacked once, in bytes. */
  readonly residentGrowth: number;
  readonly seconds: number;
}

const training = { batch: 12, epochs: 20, roundSteps: 2 };
const windowSteps = 3;
const logits = { name: 'lipid-mlp', options: { inputs: 7 }, loss: 'binary-cross-entropy' } as const;

/** Small studies of every mode that runs, over regression, and over two classes as well where the labels are at the sites. */
const studies: readonly (readonly [string, TestStudy])[] = allowedChoices().flatMap(
  (choices): (readonly [string, TestStudy])[] => {
    const more = {
      ...(choices.when === 'detached' ? { augmentPasses: 120 } : {}),
      ...(choices.when === 'buffered' ? { windowSteps, roundSteps: 4 } : {}),
      ...(choices.order === 'turns' ? { turnSteps: 1 } : {}),
    };
    const study: TestStudy = { counts: [24, 16, 8], training: { ...training, ...more }, choices };
    const name = describeChoices(choices);
    const classes = { ...study, network: logits, task: twoClasses };
    return choices.labels === 'site' ? [[name, study], [`${name}, classes`, classes]] : [[name, study]]; // prettier-ignore
  },
);

/** About as many messages a study has that may be attacked, and how often each kind of study is to be run at least. */
const messagesOfStudy = 860;
const passes = 2.5;

/** How often a message is attacked so that every kind of study has its share: of each attack comes another chance to attack. */
function intensityFor(frames: number): number {
  const times = frames / (passes * studies.length) / messagesOfStudy;
  return Math.min(1, times / (1 + times) / 0.95);
}

/** No pause is waited for: a pause is no part of what is looked at. */
const restlessClock: Clock = {
  ...systemClock,
  sleep: () => new Promise((resolve) => setImmediate(resolve)),
};

/** Runs studies under attack until so many bad frames were sent. Throws when a study ends otherwise than it would in peace. */
export async function fuzz({ seed, frames }: FuzzOrder): Promise<FuzzResult> {
  const startedMs = performance.now();
  // Each bad frame makes errors, and nobody reads where they were thrown.
  Error.stackTraceLimit = 0;
  const fuzzer = new Fuzzer(seed, frames);
  fuzzer.intensity = intensityFor(frames);
  const inPeace = new Map<string, string>();
  const tallies = { atServer: {} as Tally, atSites: {} as Tally, byMode: {} as Tally };
  const memory = new Growth();
  let runs = 0;
  for (const [name, study] of studies) inPeace.set(name, bitsOf(await runStudy(planStudy(study))));
  while (!fuzzer.done) {
    for (const [name, study] of studies) {
      if (fuzzer.done) break;
      const before = fuzzer.injected;
      runs += 1;
      const ends = await runStudy(planStudy(study), fuzzer).catch((error: unknown) => {
        throw new Error(`seed ${seed}, ${name}, after ${fuzzer.injected} frames: ${String(error)}`, { cause: error });
      });
      // Who took part in what order is chance with `arrival`: what the attack changes there is when who comes.
      if (study.choices?.order !== 'arrival' && bitsOf(ends) !== inPeace.get(name))
        throw new Error(`seed ${seed}, ${name}: the study ended with other bits than in peace`);
      const [server, ...sites] = ends;
      for (const [what, times] of Object.entries(server!.tally)) count(tallies.atServer, what, times);
      for (const { tally } of sites)
        for (const [what, times] of Object.entries(tally)) count(tallies.atSites, what, times);
      count(tallies.byMode, name, fuzzer.injected - before);
    }
    // Every kind of study was attacked once: what grows from here on grows with the frames.
    memory.begin();
    console.info(`${fuzzer.injected} of ${frames} bad frames; ${memory.words}`);
  }
  const residentGrowth = memory.end();
  const seconds = Math.round((performance.now() - startedMs) / 1000);
  return { ...fuzzer.books, ...tallies, studies: runs, residentGrowth, seconds };
}

/** Runs a study to its end, in peace or under attack. The server's outcome comes first. */
async function runStudy(planned: Planned, fuzzer?: Fuzzer): Promise<Outcome[]> {
  const listener = createMemoryListener();
  const proxyListener = createMemoryListener();
  const proxy = fuzzer && HostileProxy.between(proxyListener, () => listener.connect(), fuzzer, inFlightMost(planned));
  const settings = { clock: restlessClock, timeoutMs: 60_000 };
  const parties = [
    serve(planned, listener, settings),
    ...planned.plan.sites.map((_, site) => takePart(planned, site, () => (proxy ? proxyListener : listener).connect(), settings)), // prettier-ignore
  ];
  const ends = await Promise.all(parties);
  await proxy?.close();
  if (proxy && proxy.problems.length > 0) throw proxy.problems[0];
  return ends;
}

/** With a window: two messages for each step in it. */
function inFlightMost({ plan }: Planned): number {
  return plan.choices.when === 'buffered' ? 2 * windowSteps : 0;
}

function bitsOf(ends: readonly Outcome[]): string {
  return JSON.stringify(ends.map(({ parameters, figures }) => ({ parameters, figures })));
}

/** Watches the process's resident memory. */
class Growth {
  #base: number | undefined;
  #most = 0;
  readonly #sampling = setInterval(() => this.#sample(), 20);

  constructor() {
    this.#sampling.unref();
  }

  /** Collects, and counts from what is left; once. */
  begin(): void {
    if (this.#base !== undefined) return;
    (globalThis as { gc?: () => void }).gc?.();
    this.#base = process.memoryUsage.rss();
  }

  end(): number {
    clearInterval(this.#sampling);
    return this.#grown;
  }

  get words(): string {
    const left = process.memoryUsage.rss();
    return `${Math.round(left / 1e6)} MB resident, at most ${Math.round(this.#grown / 1e6)} MB grown`;
  }

  get #grown(): number {
    return this.#base === undefined ? 0 : Math.max(0, this.#most - this.#base);
  }

  #sample(): void {
    if (this.#base !== undefined) this.#most = Math.max(this.#most, process.memoryUsage.rss());
  }
}
