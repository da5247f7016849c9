// Update graphs over several steps against the optimizers' formulas in plain float64, written here from PyTorch's documentation
// (torch.optim.SGD, Adam, AdamW; torch.nn.utils.clip_grad_norm_).

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { addUpdate, hyperValues, slotCount, type Optimizer } from '../../src/autodiff/index.ts';
import { GraphBuilder, type Graph } from '../../src/onnx/index.ts';
import { largestDifference } from './compare.ts';
import { interpret, type Feed } from './interpret.ts';
import { openOnRuntime } from './on-runtime.ts';
import { ordinary, uniformFrom } from './scenario.ts';
import { f64 } from './values.ts';

const fraction = fc.constantFrom(0, 0.5, 0.9, 0.999);
const weightDecay = fc.constantFrom(0, 0.01, 0.1);
const optimizers: fc.Arbitrary<Optimizer> = fc.oneof(
  fc.record({ kind: fc.constant('sgd' as const), momentum: fraction, nesterov: fc.boolean(), weightDecay }),
  fc.record({
    kind: fc.constantFrom('adam' as const, 'adamw' as const),
    beta1: fraction,
    beta2: fc.constantFrom(0.9, 0.999),
    epsilon: fc.constantFrom(1e-8, 1e-3),
    weightDecay,
  }),
);

/** One parameter's state as a reference keeps it. */
interface State {
  parameter: number[];
  slots: number[][];
}

/** One element: the new parameter and slots, by PyTorch's formula. */
function updated(
  optimizer: Optimizer,
  [p, ...slots]: [number, ...number[]],
  gradient: number,
  learningRate: number,
  t: number,
): number[] {
  const { weightDecay: decay } = optimizer;
  if (optimizer.kind === 'sgd') {
    const g = gradient + decay * p;
    if (optimizer.momentum === 0) return [p - learningRate * g];
    const velocity = optimizer.momentum * slots[0]! + g;
    return [p - learningRate * (optimizer.nesterov ? g + optimizer.momentum * velocity : velocity), velocity];
  }
  const { kind, beta1, beta2, epsilon } = optimizer;
  const g = kind === 'adam' ? gradient + decay * p : gradient;
  const start = kind === 'adamw' ? p * (1 - learningRate * decay) : p;
  const m = beta1 * slots[0]! + (1 - beta1) * g;
  const v = beta2 * slots[1]! + (1 - beta2) * g * g;
  const step = m / (1 - beta1 ** t) / (Math.sqrt(v / (1 - beta2 ** t)) + epsilon);
  return [start - learningRate * step, m, v];
}

/** All parameters' update: gradients are scaled, clipped by their common norm, and used. */
function referenceStep(
  optimizer: Optimizer,
  states: readonly State[],
  gradients: readonly (readonly number[])[],
  {
    learningRate,
    t,
    scale,
    clipNorm,
  }: { learningRate: number; t: number; scale: number; clipNorm: number | undefined },
): State[] {
  const norm = Math.sqrt(gradients.flat().reduce((sum, g) => sum + (scale * g) ** 2, 0));
  const factor = scale * (clipNorm === undefined ? 1 : Math.min(1, clipNorm / (norm + 1e-6)));
  return states.map(({ parameter, slots }, group) => {
    const rows = parameter.map((p, i) =>
      updated(optimizer, [p, ...slots.map((slot) => slot[i]!)], factor * gradients[group]![i]!, learningRate, t),
    );
    return { parameter: rows.map((row) => row[0]!), slots: slots.map((_, slot) => rows.map((row) => row[slot + 1]!)) };
  });
}

const shapes = [[2, 3], [4], []];

function updateGraph(optimizer: Optimizer, clipNorm: number | undefined): Graph {
  const builder = new GraphBuilder('update');
  const groups = shapes.map((dims, group) => ({
    parameter: builder.input(`parameter${group}`, 'float32', dims),
    gradient: builder.input(`gradient${group}`, 'float32', dims),
    slots: Array.from({ length: slotCount(optimizer) }, (_, slot) =>
      builder.input(`slot${slot}of${group}`, 'float32', dims),
    ),
  }));
  addUpdate(builder, optimizer, groups, builder.input('hyper', 'float32', [4]), { clipNorm }).forEach(
    (result, group) => {
      builder.output(result.parameter, `new:parameter${group}`);
      result.slots.forEach((slot, index) => builder.output(slot, `new:slot${index}of${group}`));
    },
  );
  return builder.build();
}

const stepCount = 4;

test('every optimizer, with decay, clipping and a factor on the gradient, follows its formula over several steps', async () => {
  await fc.assert(
    fc.asyncProperty(
      optimizers,
      fc.option(fc.constantFrom(0.5, 2, 100), { nil: undefined }),
      fc.constantFrom(1, 0.25, 3),
      fc.integer({ min: 1, max: 2 ** 31 - 1 }),
      async (optimizer, clipNorm, scale, seed) => {
        const uniform = uniformFrom(seed);
        const graph = updateGraph(optimizer, clipNorm);
        await using loaded = await openOnRuntime(graph);
        const counts = shapes.map((dims) => dims.reduce((total, dim) => total * dim, 1));
        let states: State[] = counts.map((count) => ({
          parameter: ordinary(count, uniform).map(Math.fround),
          slots: Array.from({ length: slotCount(optimizer) }, () => Array<number>(count).fill(0)),
        }));
        let inFloat64 = feedsOf(states);
        let inFloat32 = feedsOf(states);
        for (let t = 1; t <= stepCount; t++) {
          const learningRate = 0.1 / t;
          const gradients = counts.map((count) => ordinary(count, uniform).map(Math.fround));
          states = referenceStep(optimizer, states, gradients, { learningRate, t, scale, clipNorm });
          const given: Record<string, Feed> = { hyper: f64([4], hyperValues(optimizer, learningRate, t, scale)) };
          shapes.forEach((dims, group) => (given[`gradient${group}`] = f64(dims, gradients[group])));
          inFloat64 = renewed(interpret(graph, { ...inFloat64, ...given }));
          inFloat32 = renewed(await loaded.run({ ...inFloat32, ...given }));
          for (const [name, expected] of Object.entries(feedsOf(states))) {
            expect(largestDifference(inFloat64[name]!, expected, 0.1)).toBeLessThan(2e-6);
            expect(largestDifference(inFloat32[name]!, expected, 0.1)).toBeLessThan(1e-5);
          }
        }
      },
    ),
    { seed: 20210810, numRuns: 60 },
  );
});

function feedsOf(states: readonly State[]): Record<string, Feed> {
  const feeds: Record<string, Feed> = {};
  states.forEach(({ parameter, slots }, group) => {
    feeds[`parameter${group}`] = f64(shapes[group]!, parameter);
    slots.forEach((slot, index) => (feeds[`slot${index}of${group}`] = f64(shapes[group]!, slot)));
  });
  return feeds;
}

/** A step's outputs as the next step's inputs. */
function renewed(outputs: Readonly<Record<string, Feed>>): Record<string, Feed> {
  return Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name.replace('new:', ''), value]));
}
