// What a run left, and its records, dealt as they were.

import { createReadStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { openSiteData, listRecords } from '../../dist/data/node/index.js';
import { dealStudy, isDealt, planOf, readStudy } from '../../dist/study/index.js';

/** Reads a run's folder. Throws Error that says why it cannot be replayed. */
export async function readRun(folder) {
  const plan = JSON.parse(readFileSync(join(folder, 'plan.json'), 'utf8'));
  const metrics = JSON.parse(readFileSync(join(folder, 'metrics.json'), 'utf8'));
  const { dealing } = JSON.parse(readFileSync(join(folder, 'model', 'model.json'), 'utf8'));
  const study = await readStudy(join(folder, 'study.yaml'));
  const { plan: again, study: compiled } = planOf(study, { seed: plan.seed, siteNames: plan.sites });
  if (JSON.stringify(again.graphs) !== JSON.stringify(plan.graphs))
    throw new Error(`${folder}: this version of Septum compiles other graphs than the run's`);
  const { first, losses } = await readLog(join(folder, 'log.jsonl'));
  return { plan, compiled, study, dealing, metrics, losses, data: first.data ?? '', skipBad: first.skipBad ?? 0 };
}

/** The log's first entry, and the loss of each step. */
async function readLog(path) {
  let first;
  const losses = [];
  for await (const line of createInterface({ input: createReadStream(path) })) {
    const entry = JSON.parse(line);
    first ??= entry;
    if (entry.event === 'step') losses.push(entry.loss);
    // What was done after the commit from which the run went on is undone.
    if (entry.event === 'resumed') losses.length = entry.step;
  }
  return { first, losses };
}

/** Every site's records, opened. Throws Error when they are not the records of the run. */
export async function openSites({ study, plan, dealing, skipBad }, path) {
  const listing = await listRecords(study.data, path, { seed: plan.seed, skipBad });
  if (!isDealt(dealing, listing)) throw new Error(`${path}: these are not the records of the run`);
  const { manifests } = dealStudy(listing, dealing);
  return Promise.all(manifests.map((manifest) => openSiteData(study.data, path, manifest)));
}
