// What the parties of a study with `order: arrival` must end with, by the log of its order: the reference's, which has none of site, server
// and protocol.

import { openEngine } from '../../src/engine/node/index.ts';
import { partsAtSite, stateTensors } from '../../src/protocol/index.ts';
import type { Tensor } from '../../src/tensor/index.ts';
import { type OrderEntry, secretSeedOf } from '../harness/study.ts';
import { trainReference } from '../reference/index.ts';
import { digestOf, type Planned } from './party.ts';

/** The digest of each site's parameters after the last epoch. Of several entries for a step, as a study that went back has, the last counts. */
export async function replayLog(planned: Planned, log: readonly OrderEntry[]): Promise<readonly string[]> {
  const { plan } = planned;
  const used = new Map(log.map((entry) => [entry.step, entry]));
  await using engine = await openEngine({ placement: 'inline', threads: 1 });
  const { last } = await trainReference(planned, engine, { secretSeedOf, log: [...used.values()] });
  const pick = (
    tensors: Readonly<Record<string, Tensor>>,
    parts: ReturnType<typeof partsAtSite> | readonly ['trunk'],
  ) =>
    Object.fromEntries(
      parts
        .flatMap((part) => stateTensors(part, plan.layouts[part]!, false))
        .map(({ name }) => [name, tensors[name] as Tensor]),
    );
  return last.sites.map((state) =>
    digestOf({ segment: pick(state, partsAtSite(plan)), trunk: pick(last.trunk, ['trunk']) }),
  );
}
