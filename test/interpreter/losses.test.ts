// The losses against their formulas in plain float64, their gradients against finite differences and closed forms, and both at
// logits so large that a careless formula overflows.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { addLoss, type LossKind } from '../../src/autodiff/index.ts';
import { checkFiniteDifferences, checkOnRuntime, differentiated, type Differentiated } from './check-gradients.ts';
import { largestDifference } from './compare.ts';
import { interpret, type Feed } from './interpret.ts';
import { runOnRuntime } from './on-runtime.ts';
import { between, ordinary, positive, Scenario, type GradientCase, type Values } from './scenario.ts';
import { f64 } from './values.ts';

const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** The numbers of a loss: predictions `[N, width]` by rows, one target and one weight a record. */
interface Numbers {
  readonly prediction: number[][];
  readonly target: number[];
  readonly weight: number[];
  readonly mean: number;
  readonly stdDev: number;
}

/** ℓ of each record, and dℓ/dprediction where it has a closed form. */
interface Formula {
  readonly loss: (prediction: number[], target: number, numbers: Numbers) => number;
  readonly slope: (prediction: number[], target: number, numbers: Numbers) => number[];
}

const formulas: Readonly<Record<LossKind, Formula>> = {
  'softmax-cross-entropy': {
    loss: (z, y) =>
      Math.max(...z) + Math.log(z.reduce((sum, each) => sum + Math.exp(each - Math.max(...z)), 0)) - z[y]!,
    slope: (z, y) => {
      const powers = z.map((each) => Math.exp(each - Math.max(...z)));
      const total = powers.reduce((sum, each) => sum + each, 0);
      return powers.map((power, k) => power / total - (k === y ? 1 : 0));
    },
  },
  'binary-cross-entropy': {
    loss: ([z], y) => Math.max(z!, 0) - z! * y + Math.log1p(Math.exp(-Math.abs(z!))),
    slope: ([z], y) => [sigmoid(z!) - y],
  },
  mse: {
    loss: ([z], y) => (z! - y) ** 2,
    slope: ([z], y) => [2 * (z! - y)],
  },
  rmsle: {
    loss: ([z], y, { mean, stdDev }) => (Math.log1p(softplus(mean + stdDev * z!)) - Math.log1p(y)) ** 2,
    slope: ([z], y, { mean, stdDev }) => {
      const u = mean + stdDev * z!;
      return [((2 * (Math.log1p(softplus(u)) - Math.log1p(y))) / (1 + softplus(u))) * sigmoid(u) * stdDev];
    },
  },
};

const targets: Readonly<Record<LossKind, Values>> = {
  'softmax-cross-entropy': ordinary,
  'binary-cross-entropy': (count, uniform) =>
    Array.from({ length: count }, () => (uniform() < 0.5 ? 0 : uniform() < 0.8 ? 1 : 0.3)),
  mse: ordinary,
  rmsle: positive,
};

/** The names of a loss's values. */
type Names = Record<'prediction' | 'target' | 'weight' | 'mean' | 'stdDev' | 'perRecord' | 'total', string>;

const noNames = (): Names => ({
  prediction: '',
  target: '',
  weight: '',
  mean: '',
  stdDev: '',
  perRecord: '',
  total: '',
});

/** A loss alone, as a gradient case; predictions of up to `size`. Building it fills in `names`. */
function lossCase(kind: LossKind, size: number, names: Names): GradientCase {
  return {
    title: kind,
    build: (s) => {
      const classes = kind === 'softmax-cross-entropy' ? s.integer(1, 4) : 1;
      const flat = kind !== 'softmax-cross-entropy' && s.flag();
      const prediction = s.input(flat ? [s.N] : [s.N, classes], between(-size, size));
      const target =
        kind === 'softmax-cross-entropy' ? s.indices([s.N], 0, classes - 1) : s.fixed([s.N], targets[kind]);
      const weight = s.fixed([s.N], positive);
      const mean = s.fixed([], ordinary);
      const stdDev = s.fixed([], positive);
      Object.assign(names, { prediction, target, weight, mean, stdDev });
      const inputs = { prediction, target, weight, ...(kind === 'rmsle' ? { mean, stdDev } : {}) };
      const { perRecord, total } = addLoss(s.builder, kind, inputs);
      Object.assign(names, { perRecord, total });
      return [total, perRecord];
    },
  };
}

function numbersOf(feeds: Readonly<Record<string, Feed>>, names: Names): Numbers {
  const list = (name: string): number[] => Array.from(feeds[name]!.data);
  const flat = list(names.prediction);
  const records = list(names.target).length;
  const width = flat.length / records;
  return {
    prediction: Array.from({ length: records }, (_, row) => flat.slice(row * width, (row + 1) * width)),
    target: list(names.target),
    weight: list(names.weight),
    mean: list(names.mean)[0]!,
    stdDev: list(names.stdDev)[0]!,
  };
}

/** Holds values and gradient of a differentiated loss to its formula, to `tolerance` of the largest number or of `scale`. */
function expectFormula(
  kind: LossKind,
  { feeds, seeds }: Differentiated,
  names: Names,
  outputs: Readonly<Record<string, Feed>>,
  { tolerance, scale }: { tolerance: number; scale: number },
): void {
  const { loss, slope } = formulas[kind];
  const numbers = numbersOf(feeds, names);
  const { prediction, target, weight } = numbers;
  const each = prediction.map((row, record) => loss(row, target[record]!, numbers));
  const total = each.reduce((sum, value, record) => sum + weight[record]! * value, 0);
  // Both outputs are seeded: dL/dℓ = seed of the total · weight + seed of the record.
  const [ofTotal, ofEach] = [seeds[names.total]!.data[0]!, seeds[names.perRecord]!.data];
  const slopes = prediction.flatMap((row, record) =>
    slope(row, target[record]!, numbers).map((d) => d * (ofTotal * weight[record]! + ofEach[record]!)),
  );
  const gradient = outputs[`gradient:${names.prediction}`]!;
  expect(largestDifference(outputs[names.perRecord]!, f64([each.length], each), scale)).toBeLessThan(tolerance);
  expect(largestDifference(outputs[names.total]!, f64([], [total]), scale)).toBeLessThan(tolerance);
  expect(largestDifference(gradient, f64(gradient.dims, slopes), scale)).toBeLessThan(tolerance);
}

const kinds = Object.keys(formulas) as LossKind[];

test.each(kinds)('%s: value, total and gradient are those of the formula', async (kind) => {
  await fc.assert(
    fc.asyncProperty(fc.gen(), async (draw) => {
      const names = noNames();
      const graphs = differentiated(new Scenario(draw), lossCase(kind, 4, names));
      checkFiniteDifferences(graphs);
      await checkOnRuntime(graphs.backward, graphs.feeds);
      const outputs = interpret(graphs.backward, graphs.feeds);
      expectFormula(kind, graphs, names, outputs, { tolerance: 1e-12, scale: 1e-3 });
    }),
    { seed: 20210810, numRuns: 16 },
  );
});

test.each(kinds)('%s: value and gradient stay right in float32 for predictions up to 300', async (kind) => {
  await fc.assert(
    fc.asyncProperty(fc.gen(), async (draw) => {
      const names = noNames();
      const graphs = differentiated(new Scenario(draw), lossCase(kind, 300, names));
      const outputs = await runOnRuntime(graphs.backward, graphs.feeds);
      expectFormula(kind, graphs, names, outputs, { tolerance: 1e-5, scale: 1 });
    }),
    { seed: 20210810, numRuns: 16 },
  );
});
