// The studies whose end PyTorch computed from the same start, batches and masks: export.ts writes those, make_law.py trains on them.

import { mlp, smallCnn, type TestStudy } from '../../harness/study.ts';

export const goldenStudies: Readonly<Record<string, TestStudy>> = {
  'lipid-mlp': {
    seed: 3,
    network: mlp,
    counts: [140, 40, 20],
    training: { epochs: 5, learningRate: 0.05, select: 'last' },
  },
  'ct-cnn': {
    seed: 3,
    network: smallCnn,
    counts: [140, 40, 20],
    training: { epochs: 5, learningRate: 0.01, select: 'last' },
  },
};
