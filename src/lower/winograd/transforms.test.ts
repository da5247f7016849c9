import { expect, test } from 'vitest';
import type { Tensor } from '../../tensor/index.ts';
import {
  inputTransform,
  outputGradientTransform,
  outputTransform,
  planes,
  sumPlane,
  turnedWeightTransform,
  weightGradientTransform,
  weightTransform,
} from './transforms.ts';

const rowMajor = Array.from({ length: 16 }, (_, at) => at);

function times({ dims: [rows = 0, columns = 0], data }: Tensor, vector: readonly number[]): number[] {
  return Array.from({ length: rows }, (_, row) =>
    vector.reduce((sum, value, column) => sum + Number(data[row * columns + column]) * value, 0),
  );
}

test('a tile through the transformed domain is a convolution of it', () => {
  const d = Array.from({ length: 36 }, (_, at) => Math.sin(at * at));
  const g = Array.from({ length: 9 }, (_, at) => Math.cos(3 * at));
  const [input, weights] = [times(inputTransform, d), times(weightTransform, g)];
  const y = times(
    outputTransform(rowMajor),
    input.map((value, plane) => value * weights[plane]!),
  );
  for (let row = 0; row < 4; row++)
    for (let column = 0; column < 4; column++) {
      let sum = 0;
      for (let tap = 0; tap < 9; tap++) sum += d[(row + Math.floor(tap / 3)) * 6 + column + (tap % 3)]! * g[tap]!;
      expect(y[row * 4 + column]).toBeCloseTo(sum, 4);
    }
  const turned = times(turnedWeightTransform, g.toReversed());
  turned.forEach((value, plane) => expect(value).toBeCloseTo(weights[plane]!, 10));
});

test('the gradients’ matrices are the transposes, and one plane of an output’s gradient is its sum', () => {
  const column = (at: number): number[] => Array.from({ length: planes }, (_, plane) => (plane === at ? 1 : 0));
  const dy = Array.from({ length: 16 }, (_, at) => at - 5);
  expect(times(outputGradientTransform(rowMajor), dy)[sumPlane]).toBe(dy.reduce((sum, value) => sum + value));
  for (const plane of [0, 7, 20, 35]) {
    const tap = times(weightGradientTransform, column(plane));
    expect(tap).toEqual(Array.from({ length: 9 }, (_, at) => Number(weightTransform.data[plane * 9 + at])));
  }
});
