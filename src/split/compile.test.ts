import { describe, expect, it } from 'vitest';
import { namedNetwork } from '../models/index.ts';
import { validate } from '../onnx/index.ts';
import type { Task } from '../protocol/index.ts';
import { compileStudy, compileUncut, graphNames } from './index.ts';

const classification: Task = { kind: 'classification', classes: ['no', 'yes'], positive: 'yes', threshold: 0.5 };
const regression: Task = { kind: 'regression', target: 'ldl', unit: 'mg/dL' };
const sgd = { kind: 'sgd', momentum: 0.9, nesterov: false, weightDecay: 0 } as const;

const studies = [
  { name: 'lipid-mlp', options: {}, loss: 'mse', task: regression },
  { name: 'ct-cnn', options: { dropout: 0.5 }, loss: 'softmax-cross-entropy', task: classification },
  { name: 'ct-1plus4', options: {}, loss: 'binary-cross-entropy', task: classification },
  { name: 'vgg19-64', options: {}, loss: 'binary-cross-entropy', task: classification },
] as const;

describe.each(studies)('$name', ({ name, options, loss, task }) => {
  const network = namedNetwork(name, options);

  it.each([
    ['server', 'mirrored'],
    ['server', 'private'],
    ['site', 'mirrored'],
    ['site', 'average'],
  ] as const)('compiles into valid graphs with the labels at the %s and segments %s', (labels, segments) => {
    const choices = { when: 'live', labels, segments } as const;
    const study = compileStudy({ network, choices, loss, task, optimizer: sgd });
    const apart = segments === 'mirrored' ? /^segment-learn$/ : /^segment-(backward|update)$/;
    const expected = graphNames.filter(
      (graph) =>
        !apart.test(graph) &&
        (labels === 'server'
          ? !graph.startsWith('head') && !/trunk-(forward|backward)/.test(graph)
          : graph !== 'trunk-step'),
    );
    expect(Object.keys(study.graphs).sort()).toEqual([...expected].sort());
    for (const graph of Object.values(study.graphs)) validate(graph);
  });

  it('compiles uncut with the same parameters', () => {
    const { part, step } = compileUncut({ network, loss, task, optimizer: sgd }, []);
    validate(step);
    expect(part.parameters.map((parameter) => parameter.name)).toEqual(
      network.parameters.map((parameter) => parameter.name),
    );
  });
});

it('compiles VGG-19 within 3 seconds', () => {
  const network = namedNetwork('vgg19', {});
  const since = performance.now();
  const choices = { when: 'live', labels: 'server', segments: 'private' } as const;
  compileStudy({ network, choices, loss: 'binary-cross-entropy', task: classification, optimizer: sgd });
  expect(performance.now() - since).toBeLessThan(3000);
});

it('keeps what is dear to compute and recomputes the rest', () => {
  const network = namedNetwork('ct-cnn', {});
  const study = compileStudy({
    network,
    choices: { when: 'live', labels: 'site', segments: 'private' },
    loss: 'softmax-cross-entropy',
    task: classification,
    optimizer: sgd,
  });
  // One input channel and 3 x 3 taps: cheaper to convolve again than to carry 16 maps out and in.
  expect(study.kept.segment).toEqual([]);
  expect(study.kept.trunk.length).toBeGreaterThan(0);
});
