// `detached`: each site runs its frozen segment once and uploads the activations, which the server keeps in its store. A site process
// that starts over goes on after the chunks that the store holds.

import {
  CHUNKS_UNACKNOWLEDGED,
  evaluationRows,
  type Plan,
  type SiteCounts,
  type Standing,
  wholeStanding,
} from '../protocol/index.ts';
import type { ActivationStore, SectionKey } from '../store/index.ts';
import type { Tensor } from '../tensor/index.ts';
import type { ServerSiteLink } from './site-link.ts';
import type { Pooled, StudySites } from './study-sites.ts';

export class Uploads {
  readonly #plan: Plan;
  readonly #sites: StudySites;
  readonly #store: ActivationStore;
  /** Uploads that are going on, by site. */
  readonly #underWay = new Map<number, Promise<void>>();
  #standing: Standing;

  constructor(plan: Plan, sites: StudySites, store: ActivationStore) {
    this.#plan = plan;
    this.#sites = sites;
    this.#store = store;
    this.#standing = wholeStanding(plan);
  }

  /** Fixes who takes part. */
  settle(standing: Standing): void {
    this.#standing = standing;
  }

  /** Tells a site what all have, and where its upload goes on; where the server stands is nothing to it. */
  tell(site: number, pooled: Pooled): Promise<void> {
    const { present, epochs } = this.#standing;
    const standing = { ...wholeStanding(this.#plan), present, epochs };
    const held = chunksHeld(this.#plan, site, pooled.counts[site] as SiteCounts, this.#store);
    return this.#sites.tellPooled(site, pooled, held, standing);
  }

  /** Takes the uploads of all sites that take part to their end. */
  async takeAll(pooled: Pooled, onUploaded: (site: number) => void): Promise<void> {
    await Promise.all(
      this.#sites.members.map(async (site) => {
        await (this.#underWay.get(site) ?? this.#start(site, pooled, true));
        onUploaded(site);
      }),
    );
  }

  /** Takes up the upload of a site whose census was not taken, or that has started over since, unless that is going on. */
  takeAgain(site: number, pooled: Pooled): void {
    // Whoever waits for this upload sees its failure, if somebody does.
    if (!this.#underWay.has(site)) this.#start(site, pooled, false).catch(() => undefined);
  }

  isUnderWay(site: number): boolean {
    return this.#underWay.has(site);
  }

  /** Resolves when no upload of this site is going on. */
  async awaitUpload(site: number): Promise<void> {
    await this.#underWay.get(site);
  }

  #start(site: number, pooled: Pooled, isCounted: boolean): Promise<void> {
    const upload = this.#take(site, pooled, isCounted).finally(() => this.#underWay.delete(site));
    this.#underWay.set(site, upload);
    return upload;
  }

  #take(site: number, pooled: Pooled, isCounted: boolean): Promise<void> {
    const link = this.#sites.link(site);
    return this.#sites.redoing(site, async (restarts) => {
      if (!isCounted || restarts > 0) {
        await link.receive('census');
        await this.tell(site, pooled);
      }
      await receiveUpload(this.#plan, link, site, pooled.counts[site] as SiteCounts, this.#store);
    });
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
