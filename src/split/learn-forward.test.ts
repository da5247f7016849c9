import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { advance, Graphs, type Tensors } from '../../test/reference/graphs.ts';
import { randomStream } from '../base/index.ts';
import type { Engine } from '../engine/index.ts';
import { openEngine } from '../engine/node/index.ts';
import { namedNetwork, type Network, networkFromModel } from '../models/index.ts';
import { GraphBuilder, int, validate } from '../onnx/index.ts';
import type { OptimizerSettings, Task } from '../protocol/index.ts';
import { float32, type Tensor, zeros } from '../tensor/index.ts';
import { type CompiledStudy, type CompileSettings, compileStudy, masksOf } from './compile.ts';
import { hyperOf } from './hyper.ts';
import { initialState } from './layout.ts';
import { learnForwardGraph, NEXT } from './learn-forward.ts';
import { dropoutMasks } from './masks.ts';

const sgd: OptimizerSettings = { kind: 'sgd', momentum: 0.9, nesterov: false, weightDecay: 0 };
const adam: OptimizerSettings = { kind: 'adam', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 };
const choices = { when: 'live', labels: 'server', segments: 'private' } as const;
const random = randomStream(3, 'learn-forward');

let engine: Engine;
beforeAll(async () => {
  engine = await openEngine({ placement: 'inline', threads: 1 });
});
afterAll(() => engine.close());

describe('learning and the next forward pass in one run', () => {
  it.each([
    ['lipid-mlp by SGD', namedNetwork('lipid-mlp', { inputs: 7 }), sgd],
    ['lipid-mlp by Adam', namedNetwork('lipid-mlp', { inputs: 7 }), adam],
    ['batch normalisation and dropout at the site', normalised(), sgd],
  ])('give the bits of two runs: %s', async (_, network, optimizer) => {
    const study = compiled(network, { optimizer });
    const together = learnForwardGraph(study)!;
    validate(together);
    const graphs = await Graphs.open(engine, { ...study.graphs, 'segment-learn-forward': together });
    const steps = [32, 32, 7, 32].map((rows, index) => stepOf(study, rows, index, optimizer));

    let apart: Tensors = stateOf(study);
    const cuts: Tensor[] = [];
    for (const step of steps) {
      const outputs = await graphs.run('segment-forward', { ...apart, ...step });
      cuts.push(outputs['cut']!);
      const learnt = await graphs.run('segment-learn', { ...advance(apart, outputs), ...outputs, ...step });
      apart = advance(advance(apart, outputs), learnt);
    }

    let state: Tensors = stateOf(study);
    const [first, ...others] = steps as [Tensors, ...Tensors[]];
    const begun = await graphs.run('segment-forward', { ...state, ...first });
    expect(begun['cut']).toEqual(cuts[0]);
    let kept: Tensors = begun;
    state = advance(state, begun);
    let before = first;
    for (const [index, step] of others.entries()) {
      const next = Object.fromEntries(Object.entries(step).map(([name, value]) => [NEXT + name, value]));
      const outputs = await graphs.run('segment-learn-forward', { ...state, ...kept, ...before, ...next });
      expect(outputs[`${NEXT}cut`]).toEqual(cuts[index + 1]);
      state = advance(state, outputs);
      kept = state;
      before = step;
    }
    state = advance(state, await graphs.run('segment-learn', { ...state, ...kept, ...before }));
    for (const name of Object.keys(stateOf(study))) expect([name, state[name]]).toEqual([name, apart[name]]);
    expect(state['segment.w0']).not.toEqual(stateOf(study)['segment.w0']);
  });

  it('are not one where the one does not follow the other, for images, and for a large segment', () => {
    const mlp = namedNetwork('lipid-mlp', { inputs: 7 });
    expect(learnForwardGraph(compiled(mlp, { choices: { ...choices, segments: 'mirrored' } }))).toBeUndefined();
    expect(learnForwardGraph(compiled(mlp, { choices: { ...choices, labels: 'site' } }))).toBeUndefined();
    expect(learnForwardGraph(compiled(mlp, { choices: { ...choices, when: 'detached' } }))).toBeUndefined();
    expect(learnForwardGraph(compiled(mlp, { windowSteps: 2 }))).toBeUndefined();
    expect(learnForwardGraph(compiled(namedNetwork('lipid-mlp', { inputs: 2000 }), {}))).toBeUndefined();
    const images = namedNetwork('ct-cnn', {});
    const task: Task = { kind: 'classification', classes: ['no', 'yes'], positive: 'yes', threshold: 0.5 };
    expect(learnForwardGraph(compiled(images, { task, loss: 'softmax-cross-entropy' }))).toBeUndefined();
  });
});

let drawn = 0;

function normals(dims: readonly number[]): Tensor<'float32'> {
  const value = zeros('float32', dims);
  random.fillNormal(value.data, 0, drawn++);
  return value;
}

function compiled(network: Network, settings: Partial<CompileSettings>): CompiledStudy {
  const task = { kind: 'regression', target: 'ldl', unit: 'mg/dL' } as const;
  return compileStudy({ network, choices, loss: 'mse', task, optimizer: sgd, ...settings });
}

function stateOf({ parts }: CompiledStudy): Record<string, Tensor> {
  return initialState(parts.segment, 5);
}

function stepOf(study: CompiledStudy, rows: number, index: number, optimizer: OptimizerSettings): Tensors {
  const training = { learningRate: 0.1, schedule: { kind: 'constant', warmupSteps: 0 }, optimizer } as const;
  return {
    x: normals([rows, ...study.network.inputDims]),
    ...dropoutMasks(3, masksOf(study, 'segment'), [{ place: [0, 0, index], rows }]),
    'cut.gradient': normals([rows, ...study.cutDims]),
    hyper: hyperOf(training, { step: index, totalSteps: 4, update: index + 1, scale: 3 }),
  };
}

/** Dense, batch normalisation, dropout, Relu | dense. */
function normalised(): Network {
  const builder = new GraphBuilder('normalised');
  const initial = (name: string, dims: readonly number[]) => builder.initializer(name, normals(dims));
  const dense = builder.add('Gemm', [
    builder.input('x', 'float32', ['N', 7]),
    initial('w1', [7, 10]),
    initial('b1', [10]),
  ]);
  const variance = builder.initializer('variance', float32(new Float32Array(10).fill(1)));
  const factors = [...['scale', 'bias', 'mean'].map((name) => initial(name, [10])), variance];
  const normal = builder.add('BatchNormalization', [dense, ...factors]);
  const ratio = builder.scalar(0.25);
  const [kept] = builder.addNode({
    op: 'Dropout',
    domain: '',
    inputs: [normal, ratio],
    outputs: [builder.fresh('dropout')],
    attributes: { seed: int(1) },
  });
  const cut = builder.add('Relu', [kept as string]);
  const y = builder.add('Gemm', [cut, initial('w2', [10, 1]), initial('b2', [1])]);
  builder.output(y, 'y');
  return networkFromModel(builder.build(), { cut });
}
