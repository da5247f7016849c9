// The study of the demo: synthetic records, and as few of them and as many steps as show a converged model in a minute or two.

import type { CaseName } from '../new-study.ts';

/** The text of a demo's study file, on SYNTHETIC records. Default: three sites in the ratio 7:2:1. */
export function demoStudy(
  name: CaseName,
  options: { readonly quick?: boolean; readonly ratio?: readonly number[] } = {},
): string {
  const { quick = false, ratio = [7, 2, 1] } = options;
  const head = `# A demo of Septum. Its records are SYNTHETIC: computed, of no real patient.
study: demo-${name}
seed: 1
method: septum
choices: { labels: server }
sites: { ratio: [${ratio.join(', ')}] }
`;
  if (name === 'cholesterol')
    return `${head}network: { name: lipid-mlp }
training:
  batch: 128
  epochs: ${quick ? 40 : 80}
  learningRate: 0.003
  optimizer: { kind: adam }
  schedule: { kind: cosine }
data: { kind: synthetic, case: cholesterol, records: ${quick ? 2000 : 4000} }
`;
  return `${head}network: { name: ct-cnn, options: { dropout: 0 } }
training:
  batch: ${quick ? 16 : 32}
  epochs: ${quick ? 8 : 12}
  learningRate: 0.001
  optimizer: { kind: adam }
  schedule: { kind: cosine }
data:
  kind: synthetic
  case: ${name}
  records: ${quick ? 1500 : 3000}
  image: { width: 64, height: 64, channels: 1 }
  augment: { flipHorizontal: true, shift: 0.05 }
`;
}
