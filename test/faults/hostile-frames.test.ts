// Someone between the sites and the server changes what they say. `SEPTUM_FUZZ=10000` runs the full number of bad frames.

import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type MessageKind, messageKinds } from '../../src/protocol/index.ts';
import { type TestStudy, twoClasses } from '../harness/study.ts';
import { Host, bundleHost } from './hosts.ts';
import { HostileProxy } from './hostile-proxy.ts';
import { fieldsOfKinds, Injector } from './injector.ts';
import { refusalCodes } from './mutations.ts';
import { count, type Outcome, type Tally } from './party.ts';

const wanted = Number(process.env['SEPTUM_FUZZ'] ?? 1000);
const seed = Number(process.env['SEPTUM_SEED'] ?? 1);
/** Bad frames for each field of each kind. */
const share = wanted >= 10_000 ? 50 : 4;
const growthBytesMax = 50e6;

const small = { batch: 20, epochs: 2 };
const five = [30, 20, 20, 15, 15];
const logits = { name: 'lipid-mlp', options: { inputs: 7 }, loss: 'binary-cross-entropy' } as const;
/** Between them, messages of every kind pass. */
const studies: Readonly<Record<string, TestStudy>> = {
  'live, union, mirrored': { counts: five, training: small },
  'live, union, mirrored, labels at the sites': { counts: five, training: small, choices: { labels: 'site' } },
  'live, turns, relay': {
    counts: five,
    training: { ...small, turnSteps: 1 },
    choices: { order: 'turns', segments: 'relay' },
  },
  'live, union, average, labels at the sites, classes': {
    counts: five,
    network: logits,
    task: twoClasses,
    training: { ...small, roundSteps: 2 },
    choices: { labels: 'site', segments: 'average' },
  },
  detached: {
    counts: five,
    training: { ...small, augmentPasses: 40 },
    choices: { when: 'detached', order: 'none' },
  },
};
const beside: TestStudy = { counts: [40, 20], seed: 9, training: { epochs: 3 } };

const withTensors: ReadonlySet<MessageKind> = new Set([
  'census',
  'pooled',
  'activations',
  'cut-gradient',
  'parameter-gradient',
  'gradient-sum',
  'trunk-output',
  'output-gradient',
  'weights',
  'report',
]);

let folder: string;
let servers: Host;
let sites: Host;

beforeAll(async () => {
  folder = await bundleHost();
  servers = new Host(`${folder}/host.mjs`);
  sites = new Host(`${folder}/host.mjs`);
});

afterAll(async () => {
  await Promise.all([servers?.close(), sites?.close()]);
  await rm(folder, { recursive: true, force: true });
});

interface Run {
  readonly server: Outcome;
  readonly sites: readonly Outcome[];
}

/** One study, its server in one process and its sites in another. `through` gives the address that the sites are told. */
async function runStudy(
  study: TestStudy,
  through: (url: string) => Promise<string> = async (url) => url,
): Promise<Run> {
  const server = await servers.server(study);
  const url = await through(server.url);
  const ends = await Promise.all([server.ended, ...study.counts!.map((_, index) => sites.site(study, index, url))]);
  return { server: ends[0], sites: ends.slice(1) };
}

const resultOf = ({ parameters, figures }: Outcome) => ({ parameters, figures });
const resultsOf = (run: Run) => ({ server: resultOf(run.server), sites: run.sites.map(resultOf) });

/** What passes only where sites come in by keys; enrolment.test.ts has what is wrong with these. */
const ofEnrolled: ReadonlySet<MessageKind> = new Set(['challenge', 'enrol', 'enrolled', 'withdraw', 'withdrawn']);

test(
  `${wanted} bad frames cost a connection each and change no bit of any study`,
  async () => {
    const kinds = (Object.keys(messageKinds) as MessageKind[]).filter((kind) => !ofEnrolled.has(kind));
    const injector = new Injector(seed, wanted, share, fieldsOfKinds(kinds, withTensors));
    const startedMs = performance.now();
    const undisturbed = new Map<string, ReturnType<typeof resultsOf>>();
    for (const [name, study] of Object.entries(studies)) undisturbed.set(name, resultsOf(await runStudy(study)));
    const quiet = await runStudy(beside);
    const before = { server: await servers.memory(), sites: await sites.memory() };
    // The most that a process holds at any moment, over what it held when all kinds of study had run once.
    const growth = { server: 0, sites: 0 };
    const measure = async (): Promise<void> => {
      for (const [who, host] of [
        ['server', servers],
        ['sites', sites],
      ] as const)
        growth[who] = Math.max(growth[who], (await host.memory()).peakBytes - before[who].residentBytes);
    };

    const atServer: Tally = {};
    const atSites: Tally = {};
    let runs = 0;
    while (!injector.done) {
      expect(runs, `seed ${seed}: these fields have not had their share: ${injector.missing.join(', ')}`).toBeLessThan(
        200,
      );
      for (const [name, study] of Object.entries(studies)) {
        if (injector.done) break;
        runs += 1;
        let proxy: HostileProxy | undefined;
        const through = async (url: string) => (proxy = await HostileProxy.open(url, injector)).url;
        const [run, besideRun] = await Promise.all([runStudy(study, through), runStudy(beside)]);
        await proxy!.close();
        expect(proxy!.problems).toEqual([]);
        expect(resultsOf(run), `seed ${seed}, ${name}`).toEqual(undisturbed.get(name));
        expect(besideRun, `seed ${seed}: the study beside ${name}`).toEqual(quiet);
        for (const [what, times] of Object.entries(run.server.tally)) count(atServer, what, times);
        for (const { tally } of run.sites)
          for (const [what, times] of Object.entries(tally)) count(atSites, what, times);
      }
      await measure();
    }
    console.log(
      JSON.stringify(
        {
          seed,
          injected: injector.injected,
          pastDecoder: injector.pastDecoder,
          refusedByServer: injector.refusals.up,
          refusedBySites: injector.refusals.down,
          atServer,
          atSites,
          leastForAField: Math.min(...Object.values(injector.hits).flatMap((tally) => Object.values(tally))),
          studies: runs,
          residentGrowthMb: mapMb(growth),
          seconds: Math.round((performance.now() - startedMs) / 1000),
        },
        undefined,
        1,
      ),
    );
    console.table(injector.hits);

    expect(injector.pastDecoder).toBeGreaterThanOrEqual(injector.injected / 2);
    // Every bad frame was answered by a refusal with one of the protocol's codes (a first frame larger than any hello: the transport's), and each party saw as many.
    for (const direction of ['up', 'down'] as const)
      expect(refusalCodes).toEqual(expect.arrayContaining(Object.keys(injector.refusals[direction])));
    for (const code of refusalCodes) {
      expect(atServer[`refused ${code}`] ?? 0, `refused by the server: ${code}`).toBe(injector.refusals.up[code] ?? 0);
      expect(atSites[`lost ${code}`] ?? 0, `refused by sites: ${code}`).toBe(injector.refusals.down[code] ?? 0);
    }
    expect(Object.keys({ ...atServer, ...atSites }).filter((what) => what.includes('internal'))).toEqual([]);
    expect(servers.alive && sites.alive).toBe(true);
    expect(growth.server).toBeLessThan(growthBytesMax);
    expect(growth.sites).toBeLessThan(growthBytesMax);
  },
  30 * 60_000,
);

function mapMb(bytes: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(bytes).map(([who, value]) => [who, Math.round(value / 1e5) / 10]));
}
