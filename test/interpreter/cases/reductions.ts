// Reductions over some axes, all axes and none, with the axes kept or dropped.

import { int } from '../../../src/onnx/index.ts';
import { apartFromZero, distinct, ordinary, positive, type GradientCase, type Values } from '../scenario.ts';

/** Reductions for which "no reduction" of `noop_with_empty_axes` can only mean the value itself. */
const identities = new Set(['ReduceSum', 'ReduceMean', 'ReduceMax', 'ReduceMin']);

const reduce = (op: string, values: Values): GradientCase => ({
  title: `${op}: some axes, all, kept or dropped`,
  build: (s) => {
    const x = s.input([s.N, s.integer(1, 3), s.integer(1, 4)], values);
    const axes = s.pick<readonly number[]>([1], [2], [-1], [1, 2], [-1, 1], [0], [0, 2], [0, 1, 2], []);
    const inputs = axes.length === 0 ? [x] : [x, s.list(...axes)];
    return s.add(op, inputs, {
      ...(s.flag() ? { keepdims: int(s.integer(0, 1)) } : {}),
      ...(axes.length === 0 && s.flag() && identities.has(op) ? { noop_with_empty_axes: int(1) } : {}),
    });
  },
  runs: 24,
});

export const reductionCases: readonly GradientCase[] = [
  reduce('ReduceSum', ordinary),
  reduce('ReduceMean', ordinary),
  reduce('ReduceMax', distinct),
  reduce('ReduceMin', distinct),
  reduce('ReduceL1', apartFromZero(0.1)),
  reduce('ReduceL2', apartFromZero(0.1)),
  reduce('ReduceSumSquare', ordinary),
  reduce('ReduceLogSum', positive),
  reduce('ReduceLogSumExp', ordinary),
];
