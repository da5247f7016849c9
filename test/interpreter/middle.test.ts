// A value between may be asked for its gradient too, as the compiler asks for that of the activations at the cut. It is the total
// one: the same as that of a graph which begins with this value.

import { expect, test } from 'vitest';
import { differentiate } from '../../src/autodiff/index.ts';
import { GraphBuilder, ints } from '../../src/onnx/index.ts';
import { largestDifference } from './compare.ts';
import { interpret, type Feed } from './interpret.ts';
import { distinct, ordinary, uniformFrom } from './scenario.ts';
import { f64 } from './values.ts';

const pool = { kernel_shape: ints([2, 2]), strides: ints([2, 2]) };

/** What stands after the value: from the value to the outputs. */
const ends: Readonly<Record<string, (builder: GraphBuilder, value: string) => string>> = {
  MaxPool: (builder, value) => builder.add('MaxPool', [value], pool),
  'MaxPool beside another use': (builder, value) =>
    builder.add('Mul', [builder.add('GlobalAveragePool', [value]), builder.add('MaxPool', [value], pool)]),
  'two uses': (builder, value) => builder.add('Mul', [builder.add('Tanh', [value]), value]),
};

const uniform = uniformFrom(7);
const dims = [2, 2, 4, 4];
const x: Feed = f64(dims, distinct(64, uniform));

test.each(['Relu', 'Tanh', 'Sigmoid'].flatMap((op) => Object.keys(ends).map((end) => [op, end] as const)))(
  'the value after %s, before %s',
  (op, end) => {
    const whole = new GraphBuilder('whole');
    const value = whole.add(op, [whole.input('x', 'float32', dims)]);
    const y = ends[end]!(whole, value);
    const seed = whole.input('seed', 'float32', whole.dimsOf(y));
    const both = differentiate(whole, new Map([[y, seed]]), [value, 'x']);
    whole.output(value, 'value');
    whole.output(both.get(value)!, 'of value');
    whole.output(both.get('x')!, 'of x');

    const later = new GraphBuilder('later');
    const given = later.input('value', 'float32', dims);
    const laterY = ends[end]!(later, given);
    const laterSeed = later.input('seed', 'float32', later.dimsOf(laterY));
    later.output(differentiate(later, new Map([[laterY, laterSeed]]), [given]).get(given)!, 'of value');

    const alone = new GraphBuilder('alone');
    const aloneY = ends[end]!(alone, alone.add(op, [alone.input('x', 'float32', dims)]));
    const aloneSeed = alone.input('seed', 'float32', alone.dimsOf(aloneY));
    alone.output(differentiate(alone, new Map([[aloneY, aloneSeed]]), ['x']).get('x')!, 'of x');

    const sizes = whole.dimsOf(y).map(Number);
    const seeds = f64(
      sizes,
      ordinary(
        sizes.reduce((a, b) => a * b, 1),
        uniform,
      ),
    );
    const got = interpret(whole.build(), { x, seed: seeds });
    const expected = interpret(later.build(), { value: got['value']!, seed: seeds });
    expect(largestDifference(got['of value']!, expected['of value']!)).toBeLessThan(1e-12);
    expect(largestDifference(got['of x']!, interpret(alone.build(), { x, seed: seeds })['of x']!)).toBeLessThan(1e-12);
  },
);
