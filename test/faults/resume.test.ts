// Processes of a study are started again: it goes on from the newest commit that all of them hold, or from its start, to the same bits.

import { describe, expect, test } from 'vitest';
import { TransportError } from '../../src/base/index.ts';
import { commitsWithin } from '../../src/protocol/index.ts';
import type { ServerEvent } from '../../src/server/index.ts';
import { createMemoryActivationStore, createMemoryCommitStore } from '../../src/store/index.ts';
import { type Connection, createMemoryListener } from '../../src/transport/index.ts';
import { type OrderEntry, planStudy, smallCnn, type TestStudy } from '../harness/study.ts';
import { hastyClock, type Outcome, type PartySettings, type Planned, serve, takePart } from './party.ts';
import { replayLog } from './replay-log.ts';

const counts = [30, 20, 10];
const studies: Readonly<Record<string, TestStudy>> = {
  'union, mirrored': { counts },
  'union, mirrored, Adam': {
    counts,
    training: { optimizer: { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 } },
  },
  'union, mirrored, labels at the sites': { counts, choices: { labels: 'site' } },
  'union, private, from secret starts': { counts, choices: { segments: 'private', segmentSeed: 'site' } },
  'union, average': { counts, training: { roundSteps: 2 }, choices: { segments: 'average' } },
  'turns, relay': { counts, training: { turnSteps: 1 }, choices: { order: 'turns', segments: 'relay' } },
  'turns, average': { counts, choices: { order: 'turns', segments: 'average' } },
  'averaged, average': { counts, choices: { order: 'none', trunk: 'averaged', segments: 'average' } },
  'averaged, private': { counts, choices: { order: 'none', trunk: 'averaged', segments: 'private' } },
  'buffered, union, mirrored': {
    counts,
    training: { windowSteps: 3, batch: 8 },
    choices: { when: 'buffered', segments: 'mirrored' },
  },
  'buffered, union, private, in rounds': {
    counts,
    training: { windowSteps: 4, roundSteps: 3, batch: 8 },
    choices: { when: 'buffered', segments: 'average' },
  },
  // Long enough that the server still trains alone when the others are back.
  detached: { counts, training: { augmentPasses: 3, epochs: 60 }, choices: { when: 'detached', order: 'none' } },
  'a convolutional network with dropout': { counts, network: smallCnn },
};

/** What is started again. */
const deaths = ['site', 'server', 'all'] as const;
type Death = (typeof deaths)[number];

describe.each(Object.entries(studies))('%s', (_, study) => {
  const planned = planStudy({ ...study, training: { epochs: 4, ...study.training } });

  test('goes on to the same bits when processes are started again, with their commits and without', async () => {
    const undisturbed = await run(planned);
    expect(undisturbed.resumed).toEqual([]);
    for (const keeping of ['steps', 'epochs', false] as const) {
      for (const death of deaths) {
        const disturbed = await run(planned, death, keeping);
        const what = `${death}, ${keeping === false ? 'without commits' : `with commits of ${keeping}`}`;
        expect(disturbed.outcomes, `after ${what}`).toEqual(undisturbed.outcomes);
        // A server that keeps nothing begins again; in `detached` a site is not needed while the server trains.
        const goesOn =
          planned.plan.choices.when === 'detached'
            ? keeping !== false && death !== 'site'
            : keeping !== false || death === 'site';
        const told = disturbed.resumed.map(({ step, undone }) => ({ later: step > 0, again: undone > 0 }));
        // With a commit after each step there may be nothing to be made again.
        const again = death === 'site' && (keeping !== 'steps' || told.some((each) => each.again));
        const undone = disturbed.resumed[0]?.undone ?? 0;
        if (keeping === 'steps' && commitsWithin(planned.plan)) expect(undone, `after ${what}`).toBeLessThanOrEqual(2);
        expect(told, `after ${what}`).toEqual(goesOn ? [{ later: keeping !== false, again }] : []);
      }
    }
  });
});

describe.each([
  ['live', 'private'],
  ['live', 'average'],
  ['buffered', 'private'],
  ['buffered', 'average'],
] as const)('arrival, %s, %s', (when, segments) => {
  const training = { epochs: 4, batch: 8, select: 'last', ...(when === 'buffered' ? { windowSteps: 3 } : {}) } as const;
  const planned = planStudy({ counts, training, choices: { when, order: 'arrival', segments } });

  test.each(deaths)('equals the replay of its log after the death of %s', async (death) => {
    const { outcomes, resumed, log } = await run(planned, death);
    expect(resumed).toEqual([expect.objectContaining({ step: expect.any(Number) })]);
    // What was taken after the commit from which the study went on was taken again: the last entry for a step is the one that counts.
    expect(log.length).toBeGreaterThan(new Set(log.map(({ step }) => step)).size);
    expect(outcomes.slice(1).map(({ parameters }) => parameters)).toEqual(await replayLog(planned, log));
  });
});

/** Runs a study in memory. In the middle of an epoch that is not the first, what is to die ends without a word and is started again. */
async function run(planned: Planned, death?: Death, keeping: 'steps' | 'epochs' | false = 'epochs') {
  const settings = Array.from({ length: counts.length + 1 }, (): PartySettings => ({
    clock: hastyClock,
    ...(keeping === false ? {} : { commits: createMemoryCommitStore() }),
    ...(keeping === 'steps' ? { commitEveryMs: 0 } : {}),
  }));
  const activations = createMemoryActivationStore(planned.plan.network.cutDims);
  const network = new Network();
  const resumed: (ServerEvent & { kind: 'resumed' })[] = [];
  const log: OrderEntry[] = [];
  let due = death !== undefined;
  let strike: () => void = () => undefined;
  const struck = new Promise<void>((resolve) => (strike = resolve));
  const startServer = () =>
    network.serve((listener, signal) =>
      serve(planned, listener, { ...settings[0], activations, log, signal }, (event) => {
        if (event.kind === 'resumed') resumed.push(event);
        if (!due || event.kind !== 'step' || event.report.epoch < 2) return;
        due = false;
        strike();
      }),
    );
  const startSite = (site: number) =>
    network.join(site, (connect, signal) => takePart(planned, site, connect, { ...settings[site + 1], signal }));
  let server = startServer();
  const sites = counts.map((__, site) => startSite(site));
  if (death) {
    await Promise.race([struck, server.ended]);
    const dead = death === 'all' ? [0, 1, 2] : death === 'site' ? [1] : [];
    if (death !== 'site') await network.dropServer(server);
    await Promise.all(dead.map((site) => network.dropSite(site, sites[site]!)));
    if (death !== 'site') server = startServer();
    for (const site of dead) sites[site] = startSite(site);
  }
  const outcomes = await Promise.all([server, ...sites].map(({ ended }) => ended));
  return { outcomes: outcomes.map(({ parameters, figures }) => ({ parameters, figures })), resumed, log };
}

interface Party {
  readonly ended: Promise<Outcome>;
  readonly kill: AbortController;
}

/** Listeners and connections in memory. Who dies has its connections closed first, so that nobody hears a word of it. */
class Network {
  #listener: ReturnType<typeof createMemoryListener> | undefined;
  readonly #connections = new Map<number, Connection[]>();

  serve(start: (listener: ReturnType<typeof createMemoryListener>, signal: AbortSignal) => Promise<Outcome>): Party {
    const listener = createMemoryListener();
    this.#listener = listener;
    return party((signal) => start(listener, signal));
  }

  join(site: number, start: (connect: () => Promise<Connection>, signal: AbortSignal) => Promise<Outcome>): Party {
    this.#connections.set(site, []);
    const connect = async (): Promise<Connection> => {
      if (!this.#listener) throw new TransportError('connect-failed', 'there is no server');
      const connection = await this.#listener.connect();
      this.#connections.get(site)?.push(connection);
      return connection;
    };
    return party((signal) => start(connect, signal));
  }

  async dropServer(server: Party): Promise<void> {
    this.#listener = undefined;
    for (const site of this.#connections.keys()) await this.#close(site);
    await die(server);
  }

  async dropSite(site: number, dying: Party): Promise<void> {
    await this.#close(site);
    await die(dying);
  }

  async #close(site: number): Promise<void> {
    await Promise.all((this.#connections.get(site) ?? []).map((connection) => connection.close()));
  }
}

function party(start: (signal: AbortSignal) => Promise<Outcome>): Party {
  const kill = new AbortController();
  const ended = start(kill.signal);
  ended.catch(() => undefined);
  return { ended, kill };
}

async function die({ kill, ended }: Party): Promise<void> {
  kill.abort(new Error('dead'));
  await expect(ended).rejects.toThrow('dead');
}
