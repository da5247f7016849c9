// Arithmetic of several values with broadcasting in every direction.

import type { Dim } from '../../../src/onnx/index.ts';
import {
  apartFromZero,
  between,
  distinct,
  ordinary,
  positive,
  type GradientCase,
  type Scenario,
  type Values,
} from '../scenario.ts';

/** The dimensions of `count` operands that broadcast together to `[N, a, b]` or part of it. */
function operandDims(s: Scenario, count: number): Dim[][] {
  const whole: Dim[] = [s.N, s.integer(1, 3), s.integer(1, 3)];
  return Array.from({ length: count }, () =>
    whole.map((dim) => (s.integer(0, 3) === 0 ? 1 : dim)).slice(s.pick(0, 0, 0, 1, 2, 3)),
  );
}

function binary(op: string, left: Values, right: Values): GradientCase {
  return {
    title: `${op}: broadcasting both ways`,
    build: (s) => {
      const [a, b] = operandDims(s, 2) as [Dim[], Dim[]];
      return s.add(op, [s.input(a, left), s.input(b, right)]);
    },
    runs: 12,
  };
}

/** Numbers `shift` off the grid of `distinct`, so that operands never tie. */
const shifted =
  (shift: number): Values =>
  (count, uniform) =>
    distinct(count, uniform).map((x) => x + shift);

function variadic(op: string): GradientCase {
  return {
    title: `${op}: one to four operands`,
    build: (s) => {
      const count = s.integer(1, 4);
      const inputs = operandDims(s, count).map((dims, index) => s.input(dims, shifted(index * 0.003)));
      return s.add(op, inputs);
    },
    runs: 12,
  };
}

const where: GradientCase = {
  title: 'Where: condition and both values broadcast',
  build: (s) => {
    const [condition, a, b] = operandDims(s, 3) as [Dim[], Dim[], Dim[]];
    return s.add('Where', [s.flags(condition), s.input(a), s.input(b)]);
  },
  runs: 12,
};

const power: GradientCase = {
  title: 'Pow: a fixed whole exponent, also of negative numbers',
  build: (s) => {
    const x = s.input([s.N, 3], apartFromZero(0.3));
    return s.add('Pow', [x, s.builder.scalar(s.pick(2, 3, 1, -1, 0))]);
  },
};

/** The same value on both sides, and one side fixed. */
const sameTwice: GradientCase = {
  title: 'one value as both operands',
  build: (s) => {
    const x = s.input([s.N, s.integer(1, 3)], positive);
    return s.add(s.pick('Add', 'Mul', 'Sub', 'Div', 'Pow', 'Sum'), [x, x]);
  },
};

const oneSideFixed: GradientCase = {
  title: 'one operand without gradient',
  build: (s) => {
    const [a, b] = operandDims(s, 2) as [Dim[], Dim[]];
    const inputs = [s.input(a, positive), s.fixed(b, positive)];
    return s.add(s.pick('Add', 'Mul', 'Sub', 'Div', 'Pow', 'Max', 'Min'), s.flag() ? inputs : inputs.toReversed());
  },
  runs: 16,
};

export const arithmeticCases: readonly GradientCase[] = [
  binary('Add', ordinary, ordinary),
  binary('Sub', ordinary, ordinary),
  binary('Mul', ordinary, ordinary),
  binary('Div', ordinary, apartFromZero(0.5)),
  binary('Pow', positive, between(-2, 2)),
  variadic('Sum'),
  variadic('Max'),
  variadic('Min'),
  variadic('Mean'),
  where,
  power,
  sameTwice,
  oneSideFixed,
];
