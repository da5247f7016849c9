// A finished study of real processes with `order: arrival`, trained again in this process from the log of its order: the reference that has
// none of site, server and protocol.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sha256Hex } from '../../src/base/index.ts';
import { deal, type Manifest } from '../../src/data/index.ts';
import { listRecords, openSiteData } from '../../src/data/node/index.ts';
import { openEngine } from '../../src/engine/node/index.ts';
import { planOf, readStudy } from '../../src/study/index.ts';
import { bytesOf, type Tensor } from '../../src/tensor/index.ts';
import { trainReference } from '../reference/index.ts';
import { sites } from './process-study.ts';

/** The reference's tensors after the last epoch, by party, in the words of a commit of which they are to be a part. */
export async function replayOrder(place: string, serverFolder: string): Promise<Readonly<Record<string, string[]>>> {
  const file = await readStudy(join(place, 'study.yaml'));
  const { plan, study } = planOf(file);
  const data = await Promise.all(
    sites.map(async (name) => {
      const own = join(place, `${name}${file.data.kind === 'images' ? '-data' : '.csv'}`);
      const [manifest] = deal(await listRecords(file.data, own, { seed: plan.seed }), [1]);
      return openSiteData(file.data, own, manifest as Manifest);
    }),
  );
  await using engine = await openEngine({ placement: 'inline', threads: 1 });
  const secretSeedOf = (): Uint8Array => {
    throw new Error('no study of these has secret starts');
  };
  const { last } = await trainReference({ plan, study, data }, engine, { secretSeedOf, log: orderIn(serverFolder) });
  const parties = [last.trunk, ...last.sites];
  return Object.fromEntries(['server', ...sites].map((name, party) => [name, wordsOf(parties[party] ?? {})]));
}

interface OrderEntry {
  readonly epoch: number;
  readonly site: number;
  readonly step: number;
}

/** Who took each step. What was taken after the commit from which the study went on was taken again: the last entry for a step counts. */
export function orderIn(serverFolder: string): readonly OrderEntry[] {
  const lines = readFileSync(join(serverFolder, 'order.jsonl'), 'utf8').trimEnd().split('\n');
  const entries = lines.map((line) => JSON.parse(line) as OrderEntry);
  return [...new Map(entries.map((entry) => [entry.step, entry])).values()];
}

function wordsOf(tensors: Readonly<Record<string, Tensor>>): string[] {
  return Object.entries(tensors).map(([name, value]) => `${name} ${sha256Hex(bytesOf(value))}`);
}
