// `detached`: each site runs its frozen segment once and uploads the activations, which the server keeps in its store. A site process
// that starts over goes on after the chunks that the store holds.

import { messageOf, ProtocolError, SeptumError, TimeoutError } from '../base/index.ts';
import {
  CHUNKS_UNACKNOWLEDGED,
  evaluationRows,
  type Plan,
  readCensus,
  requireRecords,
  type SiteCounts,
  type Standing,
  wholeStanding,
} from '../protocol/index.ts';
import type { ActivationStore, SectionKey } from '../store/index.ts';
import type { Tensor } from '../tensor/index.ts';
import { requireSame, withCounts } from './census.ts';
import type { ServerSiteLink } from './site-link.ts';
import type { Pooled, StudySites } from './study-sites.ts';

export interface UploadsOptions {
  readonly plan: Plan;
  readonly sites: StudySites;
  readonly store: ActivationStore;
  /** Told when a site has uploaded everything, if it had not before. */
  readonly onUploaded: (site: number) => void;
  /** Told why a site that nobody waits for is refused. */
  readonly onRefused: (site: number, why: string) => void;
}

export class Uploads {
  readonly #options: UploadsOptions;
  /** Uploads that are going on, by site. */
  readonly #underWay = new Map<number, Promise<void>>();
  /** By site: how often it had started over when the upload of that session ended. */
  readonly #ended = new Map<number, number>();
  readonly #refused = new Set<number>();
  #isOver = false;
  /** Who takes part, and what was pooled of whom. */
  #settled: { readonly pooled: Pooled; readonly standing: Standing } | undefined;

  constructor(options: UploadsOptions) {
    this.#options = options;
  }

  /** Fixes who takes part. */
  settle(pooled: Pooled, standing: Standing): void {
    this.#settled = { pooled, standing };
  }

  /** Deletes everything. */
  async clear(): Promise<void> {
    const { plan, store } = this.#options;
    for (const site of plan.sites) await store.remove(site);
  }

  /** Whether a site has uploaded everything. */
  isComplete(site: number): boolean {
    return this.#options.store.isSealed(this.#name(site));
  }

  /** The records of a site that has uploaded everything. */
  counts(site: number): SiteCounts | undefined {
    if (!this.isComplete(site)) return undefined;
    const records = (part: SectionKey['part']) =>
      this.#options.store.section({ site: this.#name(site), part, pass: 0 }).rowCount;
    return { train: records('train'), val: records('val'), test: records('test') };
  }

  /**
   * Takes the uploads of all sites that take part to their end; from its call on also those of sites that come late, or again, of which
   * nobody waits for any. `areCounted` says that the censuses are taken. Gives whether there was anything to wait for.
   */
  async takeAll(areCounted: boolean): Promise<boolean> {
    const missing = this.#options.sites.members.filter((site) => !this.isComplete(site));
    const uploads = missing.map((site) => this.#start(site, areCounted));
    void this.#takeOthers();
    await Promise.all(uploads);
    return missing.length > 0;
  }

  /** Whether an upload of the site is going on. */
  isUnderWay(site: number): boolean {
    return this.#underWay.has(site);
  }

  /** Resolves when a site that is there is at the end of its upload. */
  async awaitUpload(site: number): Promise<void> {
    if (this.#ended.get(site) === this.#options.sites.restarts(site)) return;
    await (this.#underWay.get(site) ?? this.#takeAgain(site));
  }

  /** Whether nothing more is heard from the site. */
  isRefused(site: number): boolean {
    return this.#refused.has(site);
  }

  /** No site enters any more: takes up no further uploads, and ends those of sites that do not take part. */
  end(): void {
    const { sites } = this.#options;
    this.#isOver = true;
    for (const site of this.#underWay.keys())
      if (!sites.isMember(site)) this.#refuse(site, new ProtocolError('study-stopped', 'the study is over'));
    sites.changes.tell();
  }

  /** Resolves when nothing is written any more, once the sites are stopped. */
  async quiet(): Promise<void> {
    await Promise.allSettled(this.#underWay.values());
  }

  /** Takes uploads as sites come. What goes wrong with one costs that site its part, and nobody else anything. */
  async #takeOthers(): Promise<void> {
    const { sites } = this.#options;
    while (!sites.isStopped && !this.#isOver) {
      for (const site of sites.left) if (sites.isReady(site) && !this.#underWay.has(site)) void this.#takeAgain(site);
      await sites.changes.next();
    }
  }

  /** The upload of a site whose census is not taken yet. */
  #takeAgain(site: number): Promise<void> {
    const upload = this.#start(site, false);
    upload.catch((error: unknown) => {
      if (this.#options.sites.isStopped) return;
      // It was away for long: if it comes again, it begins anew.
      if (error instanceof TimeoutError) this.#options.sites.beginAnew(site);
      else this.#refuse(site, error);
    });
    return upload;
  }

  #refuse(site: number, error: unknown): void {
    const { sites, onRefused } = this.#options;
    if (this.#refused.has(site)) return;
    this.#refused.add(site);
    const words = error instanceof SeptumError ? error.message : 'its upload failed at the server';
    sites.link(site).stop(error, new ProtocolError('study-stopped', words), 'never');
    onRefused(site, messageOf(error));
  }

  #start(site: number, isCounted: boolean): Promise<void> {
    const upload = this.#take(site, isCounted).finally(() => this.#underWay.delete(site));
    this.#underWay.set(site, upload);
    return upload;
  }

  #take(site: number, isCounted: boolean): Promise<void> {
    const { plan, sites, store, onUploaded } = this.#options;
    const link = sites.link(site);
    return sites.redoing(site, async (restarts) => {
      if (!isCounted || restarts > 0) {
        const { message } = await link.receive('census');
        await this.#count(site, readCensus(message).counts);
      }
      const counts = await this.#tell(site);
      const wasComplete = this.isComplete(site);
      await receiveUpload(plan, link, site, counts, store);
      this.#ended.set(site, restarts);
      if (!wasComplete) onUploaded(site);
    });
  }

  /**
   * Counts a site's records, if they are not yet. Standardisation and class weights stay as they are. Throws DataError when they are too
   * few, or others than when it was counted.
   */
  async #count(site: number, counts: SiteCounts): Promise<void> {
    const { plan, sites, store } = this.#options;
    const before = this.#settled?.pooled.counts[site];
    requireRecords(plan, site, counts.train);
    requireSame(plan, site, counts, before);
    // What an earlier process began to upload of other records is of no use.
    if (!sites.isMember(site) && !isBegun(plan, site, counts, store)) await store.remove(this.#name(site));
    const { pooled } = sites;
    if (before?.train === 0 && pooled) sites.recount(withCounts(plan, pooled, pooled.counts.with(site, counts)));
  }

  /** Tells a site what all have, and where its upload goes on; where the server stands is nothing to it. Gives its own counts. */
  async #tell(site: number): Promise<SiteCounts> {
    const { plan, sites, store } = this.#options;
    const { present, epochs } = this.#settled?.standing ?? wholeStanding(plan);
    const pooled = sites.pooled as Pooled;
    const counts = pooled.counts[site] as SiteCounts;
    const standing = { ...wholeStanding(plan), present: present.with(site, true), epochs };
    await sites.tellPooled(site, pooled, chunksHeld(plan, site, counts, store), standing);
    return counts;
  }

  #name(site: number): string {
    return this.#options.plan.sites[site] ?? '';
  }
}

/** The sections that a site uploads, in order, with their records. */
export function uploadSections(
  plan: Plan,
  site: number,
  counts: SiteCounts,
): readonly { readonly key: SectionKey; readonly records: number }[] {
  const name = plan.sites[site] ?? '';
  const passes = Array.from({ length: plan.training.augmentPasses + 1 }, (_, pass) => ({
    key: { site: name, part: 'train' as const, pass },
    records: counts.train,
  }));
  return [
    ...passes,
    { key: { site: name, part: 'val', pass: 0 }, records: counts.val },
    { key: { site: name, part: 'test', pass: 0 }, records: counts.test },
  ];
}

/** How many of a site's chunks the store holds, counted in the order of the upload up to the first that is missing. */
function chunksHeld(plan: Plan, site: number, counts: SiteCounts, store: ActivationStore): number {
  const rows = evaluationRows(plan);
  let held = 0;
  for (const { key, records } of uploadSections(plan, site, counts)) {
    const { chunkCount } = store.section(key);
    held += chunkCount;
    if (chunkCount < Math.ceil(records / rows)) break;
  }
  return held;
}

/** Whether what the store holds of a site can be the upload of so many records, or its beginning. */
function isBegun(plan: Plan, site: number, counts: SiteCounts, store: ActivationStore): boolean {
  const rows = evaluationRows(plan);
  const isSealed = store.isSealed(plan.sites[site] ?? '');
  return uploadSections(plan, site, counts).every(({ key, records }) => {
    const { chunkCount, rowCount } = store.section(key);
    const most = Math.min(records, chunkCount * rows);
    return rowCount === (isSealed ? records : most) && chunkCount <= Math.ceil(records / rows);
  });
}

/** Takes a site's upload to its end. Each chunk is acknowledged only when the store has it on disk. */
async function receiveUpload(
  plan: Plan,
  link: ServerSiteLink,
  site: number,
  counts: SiteCounts,
  store: ActivationStore,
): Promise<void> {
  const rows = evaluationRows(plan);
  const held = chunksHeld(plan, site, counts, store);
  let chunk = 0;
  for (const { key, records } of uploadSections(plan, site, counts)) {
    for (let index = 0; index < Math.ceil(records / rows); index++, chunk++) {
      if (chunk < held) continue;
      const { message } = await link.receive('activations');
      const [cut, labels, groups] = message.tensors.map((named) => named.tensor) as [
        Tensor<'float32'>,
        Tensor,
        Tensor | undefined,
      ];
      await store.append({
        ...key,
        index,
        activations: cut,
        labels: Float64Array.from(labels.data as Float32Array),
        groups: groups ? (groups.data as Int32Array) : new Int32Array(labels.data.length),
      });
      if (chunk % CHUNKS_UNACKNOWLEDGED === CHUNKS_UNACKNOWLEDGED - 1) await link.send('acknowledge');
    }
  }
  await store.seal(plan.sites[site] ?? '');
  await link.send('acknowledge');
}
