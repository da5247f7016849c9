// The end of a study: the trunk goes to the sites and their segments come to the server, as far as the plan says so.

import { TimeoutError } from '../base/index.ts';
import { inChunks, serverKnowsSegment, stateTensors } from '../protocol/index.ts';
import type { Tensor } from '../tensor/index.ts';
import type { Selected } from './epochs.ts';
import type { StudySites } from './study-sites.ts';
import type { Training } from './training.ts';
import type { Uploads } from './uploads.ts';

type Tensors = Readonly<Record<string, Tensor>>;

/** How long a site may take to say that it has everything. */
const farewellMs = 30_000;

export interface HandOver {
  readonly sites: StudySites;
  readonly training: Training;
  readonly selected: Selected;
  readonly timeoutMs: number;
  /** With `detached`: a site may be gone, or start over. */
  readonly uploads: Uploads | undefined;
}

/** Resolves when the sites have read everything, with the segments by site name, or under '' where there is one for all. */
export async function handOver({ sites, training, selected, timeoutMs, uploads }: HandOver) {
  const { plan, trunk } = training.options;
  const segments: Record<string, Tensors> = {};
  if (selected.segment) segments[''] = selected.segment;
  const mayLeave = uploads !== undefined;
  const handOverTo = async (site: number): Promise<void> => {
    const link = sites.link(site);
    if (plan.trunkToSites) {
      for (const _ of inChunks(stateTensors('trunk', trunk.layout('trunk'), false)))
        await link.send('weights', { tensors: selected.trunk, scalars: [training.steps] }, mayLeave);
    }
    if (plan.segmentsToServer && !serverKnowsSegment(plan.choices))
      segments[plan.sites[site] ?? ''] = (await training.receiveSegment(site, false, mayLeave)).state;
    await link.send('finish', {}, mayLeave);
    await link.drain(Math.min(farewellMs, timeoutMs));
  };
  await Promise.all(
    sites.members.map((site) => (uploads ? whileThere(sites, uploads, site, handOverTo) : handOverTo(site))),
  );
  return segments;
}

/** `work` with a site, from the start again if the site starts over, and not at all if it has left. */
async function whileThere(
  sites: StudySites,
  uploads: Uploads,
  site: number,
  work: (site: number) => Promise<void>,
): Promise<void> {
  try {
    await sites.redoing(site, async () => {
      await sites.link(site).settled();
      if (!sites.link(site).isNear) return;
      await uploads.awaitUpload(site);
      if (sites.link(site).isNear) await work(site);
    });
  } catch (error) {
    if (!(error instanceof TimeoutError || uploads.isRefused(site))) throw error;
  }
}
