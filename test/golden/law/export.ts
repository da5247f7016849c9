// Writes what PyTorch needs to train the golden studies itself: the start, and every step's records, labels and dropout masks, all from
// the counted random numbers. For each study NAME.json, and NAME.bin with float32 numbers in the order that the JSON says.
//
//   npx tsc -p test/equivalence/tsconfig.processes.json
//   node node_modules/.cache/septum-test/test/golden/law/export.js FOLDER
//   python3 test/golden/law/make_law.py FOLDER

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileUncut, dropoutMasks, initialState, partsOfSites, valuesFrom } from '../../../src/split/index.ts';
import { planStudy } from '../../harness/study.ts';
import { concatenate, load, unionSteps } from '../../reference/batches.ts';
import { poolFacts } from '../../reference/pool.ts';
import { goldenStudies } from './studies.ts';

const folder = process.argv[2];
if (folder === undefined) throw new Error('usage: export.js FOLDER');
mkdirSync(folder, { recursive: true });

for (const [name, test] of Object.entries(goldenStudies)) {
  const { plan, study, data } = planStudy(test);
  const { optimizer, learningRate, epochs } = plan.training;
  const { part } = compileUncut(
    { network: study.network, loss: plan.network.loss, task: plan.task, optimizer },
    partsOfSites(study),
  );
  const facts = poolFacts(plan, data);
  const numbers: Float32Array[] = [];
  const add = (values: ArrayLike<number>) => void numbers.push(Float32Array.from(values));

  const start = valuesFrom(part.part, part.layout, initialState(part, plan.seed));
  for (const value of start.values()) add(value.data);
  const steps: { rows: number; masks: (readonly number[])[] }[] = [];
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (const batches of unionSteps(plan, epoch, facts.counts)) {
      const loaded = await Promise.all(batches.map((batch) => load(plan, data, batch)));
      add(concatenate(loaded.map(({ x }) => x)).data as Float32Array);
      add(concatenate(loaded.map(({ labels }) => labels)).data as Float32Array);
      const masks = dropoutMasks(
        plan.seed,
        part.masks,
        batches.map(({ site, index, rows }) => ({ place: [site, epoch, index], rows: rows.length })),
      );
      for (const mask of Object.values(masks)) add(mask.data);
      const rows = batches.reduce((sum, batch) => sum + batch.rows.length, 0);
      steps.push({ rows, masks: Object.values(masks).map(({ dims }) => dims) });
    }
  }
  writeFileSync(
    join(folder, `${name}.json`),
    JSON.stringify({
      learningRate,
      momentum: optimizer.kind === 'sgd' ? optimizer.momentum : 0,
      inputDims: plan.network.inputDims,
      target: Array.from(facts.target.data as Float32Array),
      parameters: [...start].map(([parameter, { dims }]) => ({ name: parameter, dims })),
      steps,
    }),
  );
  writeFileSync(join(folder, `${name}.bin`), Buffer.concat(numbers.map(({ buffer }) => Buffer.from(buffer))));
}
