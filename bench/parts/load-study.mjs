// The study of the load bench: so many sites that train a tiny network in order of arrival, and so many that have one batch in the epoch
// and then wait, connected, until it ends.

import { planOf } from '../../dist/study/planned-study.js';
import { parseStudy } from '../../dist/study/study-file.js';

/** The plan, and how many training records each site has: `training` sites have `batches` batches, the others one. */
export function loadStudy({ training, idle, batches, batch, choices }) {
  const columns = Array.from({ length: 7 }, (_, column) => `{ column: x${column}, unit: '1' }`).join(', ');
  const text = `study: load
choices: { ${choices} }
sites: { count: ${training + idle} }
network: { name: lipid-mlp, options: { inputs: 7 } }
training: { batch: ${batch}, epochs: 1, learningRate: 0.001, optimizer: { kind: sgd, momentum: 0.9 }, select: last${
    choices.includes('order: arrival') ? ', discipline: fair' : ''
  } }
data: { kind: table, file: random.csv, inputs: [${columns}], target: { column: y, unit: '1' }, minCount: 1 }
`;
  const planned = planOf(parseStudy(text, 'load.yaml'));
  return { ...planned, recordsOf: (site) => (site < training ? batches * batch : batch) };
}
