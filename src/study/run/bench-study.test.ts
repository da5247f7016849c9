// Every network that a study file can name can be measured.

import { expect, test } from 'vitest';
import { networkNames } from '../../models/index.ts';
import { planOf } from '../planned-study.ts';
import { parseStudy } from '../study-file.ts';
import { benchStudy } from './bench-study.ts';

test.each(networkNames.filter((name) => name !== 'vgg19'))('%s', (network) => {
  const { plan } = planOf(
    parseStudy(benchStudy({ network, sites: 3, batch: 32, segments: 'private', optimizer: 'sgd' }), 'bench.yaml'),
  );
  expect(plan.network.name).toBe(network);
  expect(plan.training.batch).toBe(96);
});
