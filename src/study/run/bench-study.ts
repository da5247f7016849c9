// The study that a bench measures.

import { ConfigError } from '../../base/index.ts';
import { namedNetwork } from '../../models/index.ts';

export interface BenchSettings {
  readonly network: string;
  readonly sites: number;
  /** Records a site gives to a step. */
  readonly batch: number;
  readonly segments: 'private' | 'mirrored' | 'average';
  readonly optimizer: 'sgd' | 'adam';
}

/** Settings of the optimizers as they are measured. */
const optimizers = { sgd: '{ kind: sgd, momentum: 0.9 }', adam: '{ kind: adam }' } as const;

/** Options of the networks as they are measured: the cholesterol network with 7 inputs, no dropout. */
const measured: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  'lipid-mlp': { inputs: 7 },
  'ct-cnn': { size: 64, dropout: 0 },
  'ct-1plus4': { dropout: 0 },
};

/** The text of a bench's study file: one epoch, random records. Throws ConfigError for an unknown network. */
export function benchStudy({ network, sites, batch, segments, optimizer }: BenchSettings): string {
  const options = measured[network] ?? {};
  const { inputDims, graph } = namedNetwork(network, options);
  const outputs = graph.outputs[0]?.dims.at(-1);
  const [channels, height, width] = inputDims;
  let data: string;
  if (inputDims.length === 1) {
    const inputs = Array.from({ length: inputDims[0] ?? 0 }, (_, column) => `{ column: x${column}, unit: '1' }`);
    data = `{ kind: table, file: random.csv, inputs: [${inputs.join(', ')}], target: { column: y, unit: '1' }, minCount: 1 }`;
  } else if (inputDims.length === 3 && (outputs === 1 || outputs === 2) && (channels === 1 || channels === 3)) {
    data = `{ kind: synthetic, case: covid-ct, image: { width: ${width}, height: ${height}, channels: ${channels} }, minCount: 1 }`;
  } else {
    throw new ConfigError('bad-usage', `--network ${network}: there are no random records of its shape`);
  }
  return `study: bench-${network}
choices: { labels: server, when: live, order: union, trunk: shared, segments: ${segments} }
sites: { count: ${sites} }
network: { name: ${network}, options: ${JSON.stringify(options)} }
training:
  batch: ${sites * batch}
  epochs: 1
  learningRate: 0.001
  optimizer: ${optimizers[optimizer]}
  select: last
data: ${data}
`;
}
