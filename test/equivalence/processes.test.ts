// Real processes over real sockets end with the bits of the same study in memory, and so with the parameters of the uncut network.
// Processes that are killed cost a `detached` study nothing.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openEngine } from '../../src/engine/node/index.ts';
import { mlp, planStudy, runInMemory, secretSeedOf, smallCnn, type TestStudy } from '../harness/study.ts';
import { trainReference } from '../reference/index.ts';
import { trainUncut, uncutUnion } from '../reference/uncut.ts';
import { expectSameBits } from './bits.ts';
import { expectLearnt, expectSameNetwork, splitParameters } from './compare.ts';
import type { Told } from './party.ts';
import { compileParties, Parties, type Party, removeCompiled, serverResult, siteResult } from './processes.ts';

beforeAll(compileParties);
afterAll(removeCompiled);

const lipid = { seed: 3, network: mlp, training: { epochs: 5, learningRate: 0.05, select: 'last' } } as const;
const lawful: readonly (TestStudy & { name: string; counts: readonly number[]; tolerance: number })[] = [
  ...[[140, 40, 20], [200], [67, 67, 66], [120, 20, 20, 20, 20]].map((counts) => ({
    name: 'lipid-mlp',
    tolerance: 1e-5,
    counts,
    ...lipid,
  })),
  {
    name: 'ct-cnn',
    tolerance: 1e-4,
    seed: 3,
    network: smallCnn,
    counts: [140, 40, 20],
    training: { epochs: 5, learningRate: 0.01, select: 'last' },
  },
];

describe('a server and its sites as processes', () => {
  const ofRatio = lawful.map((test) => ({ ...test, ratio: test.counts.join(':') }));
  it.each(ofRatio)(
    'train $name with sites of $ratio records as in memory bit for bit, and as the uncut network',
    async ({ tolerance, ...test }) => {
      await using parties = await Parties.open(test);
      const sites = await Promise.all(test.counts.map((_, index) => siteResult(parties.site(index))));
      const server = await serverResult(parties.server);

      const inMemory = await runInMemory(planStudy(test));
      expect(server.steps).toBe(50);
      expectSameBits(server.trunk, inMemory.server.trunk, 'trunk');
      for (const [index, site] of sites.entries())
        expectSameBits(site.segment, inMemory.sites[index]!.segment, `segment of site ${index}`);
      expect(server.history).toEqual(inMemory.server.history);
      expect([server.bytesUp, server.bytesDown]).toEqual([inMemory.server.bytesUp, inMemory.server.bytesDown]);

      await using engine = await openEngine({ placement: 'inline', threads: 1 });
      const planned = planStudy(test);
      const uncut = await trainUncut(planned, engine, uncutUnion);
      expectLearnt(uncut, tolerance);
      for (const site of sites.keys())
        expectSameNetwork(splitParameters(planned.plan, { ...inMemory, server, sites }, site), uncut.end, tolerance);
    },
  );
});

it('a site that is started again before all sites are there takes part as if nothing had been', async () => {
  const test: TestStudy = { counts: [20, 15, 10] };
  await using parties = await Parties.open(test);
  for (let starts = 0; starts < 2; starts++) {
    const first = parties.site(0);
    await first.heard(isConnected);
    await first.kill();
  }
  // The others come while it is away: the study waits for it.
  const others = [1, 2].map((index) => parties.site(index));
  for (const other of others) await other.heard(isConnected);
  const sites = [parties.site(0), ...others];
  const server = await serverResult(parties.server);
  for (const site of sites) await siteResult(site);
  expectSameBits(server.trunk, (await runInMemory(planStudy(test))).server.trunk, 'trunk');
});

describe('a detached study', () => {
  /** Each pass is a chunk of its own; chunks are acknowledged by fours. */
  const test: TestStudy = {
    network: mlp,
    choices: { when: 'detached', order: 'none', segments: 'private' },
    counts: [30, 20, 10],
    training: { epochs: 30, augmentPasses: 19, select: 'last' },
  };

  it('goes on where it was when a site is killed in the middle of its upload and started again', async () => {
    // 152 chunks a site: the site is long not through when it is killed.
    const long: TestStudy = { ...test, training: { batch: 200, epochs: 2, augmentPasses: 149, select: 'last' } };
    await using parties = await Parties.open(long);
    const sites = [1, 2].map((index) => parties.site(index));
    const killed = parties.site(0);
    await killed.heard(uploadedAtLeast(9));
    await killed.kill();
    const again = parties.site(0);
    const server = await serverResult(parties.server);

    for (const site of [again, ...sites]) await siteResult(site);
    const sentAgain = again.told.filter((told) => told.kind === 'site-event' && told.event.kind === 'uploaded').length;
    expect(sentAgain).toBeGreaterThan(0);
    // Chunk 9 was sent, so chunks 0 to 7 were acknowledged: the server has them on disk.
    expect(sentAgain).toBeLessThanOrEqual(152 - 8);
    const reference = await referenceOf(long);
    expectSameBits(server.trunk, trunkOf(server.trunk, reference.last.trunk), 'trunk');
    expect(Object.keys(server.segments).sort()).toEqual(['A', 'B', 'C']);
  });

  it('gives the trunk to a site that was killed after its upload and started again', async () => {
    await using parties = await Parties.open({ ...test, training: { ...test.training, epochs: 100 } });
    const sites = [0, 1, 2].map((index) => parties.site(index));
    await allUploaded(parties.server);
    await sites[1]!.kill();
    const again = parties.site(1);
    const server = await serverResult(parties.server);

    const site = await siteResult(again);
    expect(again.told.some((told) => told.kind === 'site-event' && told.event.kind === 'uploaded')).toBe(false);
    expectSameBits(site.trunk, server.trunk, 'trunk at site B');
    expectSameBits(server.segments['B'], site.segment, 'segment of site B at the server');
  });

  it('is trained to its end after all sites were killed with their uploads done', async () => {
    await using parties = await Parties.open(test);
    const sites: Party[] = [0, 1, 2].map((index) => parties.site(index));
    await allUploaded(parties.server);
    await Promise.all(sites.map((site) => site.kill()));
    const server = await serverResult(parties.server);

    expect(server.history.length).toBe(30);
    expect(server.test?.overall.n).toBe(8 + 5 + 3);
    const reference = await referenceOf(test);
    expectSameBits(server.trunk, trunkOf(server.trunk, reference.last.trunk), 'trunk');
    expect(server.segments).toEqual({});
  });
});

function isConnected(told: Told): true | undefined {
  return told.kind === 'site-event' && told.event.kind === 'connected' ? true : undefined;
}

/** Finds the moment at which a site has sent this chunk. */
function uploadedAtLeast(chunk: number): Parameters<Party['heard']>[0] {
  return (told) =>
    told.kind === 'site-event' && told.event.kind === 'uploaded' && told.event.chunk >= chunk ? true : undefined;
}

/** Resolves when the server has every site's upload. */
async function allUploaded(server: Party): Promise<void> {
  let uploads = 0;
  await server.heard((told) =>
    told.kind === 'server-event' && told.event.kind === 'uploaded' && ++uploads === 3 ? true : undefined,
  );
}

async function referenceOf(test: TestStudy) {
  await using engine = await openEngine({ placement: 'inline', threads: 1 });
  return await trainReference(planStudy(test), engine, { secretSeedOf });
}

function trunkOf<T>(names: Readonly<Record<string, unknown>>, trunk: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.keys(names).map((name) => [name, trunk[name] as T]));
}
