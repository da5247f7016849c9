// Gemm and MatMul.

import { float, int, type Dim } from '../../../src/onnx/index.ts';
import type { GradientCase, Scenario } from '../scenario.ts';

const gemm: GradientCase = {
  title: 'Gemm: transposes, factors, every shape of C',
  build: (s) => {
    const [inner, columns] = s.integers(2, 1, 4) as [number, number];
    const transA = s.integer(0, 1);
    const transB = s.integer(0, 1);
    const a = s.input(transA ? [inner, s.N] : [s.N, inner]);
    const b = s.input(transB ? [columns, inner] : [inner, columns]);
    const shapes: (Dim[] | undefined)[] = [undefined, [columns], [1, columns], [s.N, 1], [], [1], [s.N, columns]];
    const c = s.pick(...shapes);
    return s.add('Gemm', c ? [a, b, s.input(c)] : [a, b], {
      ...(s.flag()
        ? { transA: int(transA), transB: int(transB) }
        : transA || transB
          ? { transA: int(transA), transB: int(transB) }
          : {}),
      ...(s.flag() ? { alpha: float(0.75), beta: float(-1.5) } : {}),
    });
  },
  runs: 24,
};

function operands(s: Scenario): [Dim[], Dim[]] {
  const [m, k, n, h] = s.integers(4, 1, 3) as [number, number, number, number];
  return s.pick<[Dim[], Dim[]]>(
    [
      [s.N, k],
      [k, n],
    ],
    [
      [s.N, m, k],
      [k, n],
    ],
    [
      [s.N, h, m, k],
      [k, n],
    ],
    [
      [s.N, m, k],
      [s.N, k, n],
    ],
    [
      [s.N, 1, m, k],
      [h, k, n],
    ],
    [
      [h, m, k],
      [s.N, 1, k, n],
    ],
    [
      [m, k],
      [s.N, k, n],
    ],
    [[k], [s.N, k, n]],
    [[s.N, m, k], [k]],
    [[k], [k, n]],
    [[s.N, k], [k]],
    [[k], [k]],
    [
      [k, s.N],
      [s.N, n],
    ],
  );
}

const matMul: GradientCase = {
  title: 'MatMul: matrices, vectors, stacks that broadcast',
  build: (s) => {
    const [a, b] = operands(s);
    return s.add('MatMul', [s.input(a), s.input(b)]);
  },
  runs: 40,
};

export const productCases: readonly GradientCase[] = [gemm, matMul];
