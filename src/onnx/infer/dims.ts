// Arithmetic on dimensions that may be symbolic. A symbolic dimension is a product of a whole coefficient and symbols, written
// canonically as `N`, `49*N` or `2*M*N`: coefficient first (left out when 1), then the symbols in order. A symbol stands for a
// positive size. What this form cannot say (N + 1, N / 2) is undefined here and an error at the node that needs it.

import type { Dim } from '../graph.ts';

interface Monomial {
  readonly coefficient: number;
  readonly symbols: readonly string[];
}

function parse(dim: Dim): Monomial {
  if (typeof dim === 'number') return { coefficient: dim, symbols: [] };
  let coefficient = 1;
  const symbols: string[] = [];
  for (const part of dim.split('*')) {
    const factor = part.trim();
    if (/^-?\d+$/.test(factor)) coefficient *= Number(factor);
    else symbols.push(factor);
  }
  return { coefficient, symbols: symbols.toSorted() };
}

function format({ coefficient, symbols }: Monomial): Dim {
  if (symbols.length === 0 || coefficient === 0) return coefficient;
  return coefficient === 1 ? symbols.join('*') : [coefficient, ...symbols].join('*');
}

/** The dimension in canonical form: `N*49` becomes `49*N`. */
export function canonicalDim(dim: Dim): Dim {
  return format(parse(dim));
}

export function multiplyDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a * b;
  const x = parse(a);
  const y = parse(b);
  return format({
    coefficient: x.coefficient * y.coefficient,
    symbols: [...x.symbols, ...y.symbols].toSorted(),
  });
}

/** The product of all dimensions; 1 for none. */
export function productOfDims(dims: readonly Dim[]): Dim {
  return dims.reduce<Dim>(multiplyDims, 1);
}

/** a / b where it is whole for every value of the symbols, else undefined. */
export function divideDims(a: Dim, b: Dim): Dim | undefined {
  const x = parse(a);
  const y = parse(b);
  if (y.coefficient === 0 || x.coefficient % y.coefficient !== 0) return undefined;
  const symbols = [...x.symbols];
  for (const symbol of y.symbols) {
    const at = symbols.indexOf(symbol);
    if (at < 0) return undefined;
    symbols.splice(at, 1);
  }
  return format({ coefficient: x.coefficient / y.coefficient, symbols });
}

/** a + b where both are multiples of the same symbols (or one is 0), else undefined. */
export function addDims(a: Dim, b: Dim): Dim | undefined {
  if (a === 0) return b;
  if (b === 0) return a;
  const x = parse(a);
  const y = parse(b);
  if (x.symbols.join('*') !== y.symbols.join('*')) return undefined;
  return format({ coefficient: x.coefficient + y.coefficient, symbols: x.symbols });
}

/** a - b, as addDims. */
export function subtractDims(a: Dim, b: Dim): Dim | undefined {
  return addDims(a, multiplyDims(b, -1));
}

/** The shape that ONNX's multidirectional broadcasting gives, or undefined when the two do not fit. */
export function broadcastDims(a: readonly Dim[], b: readonly Dim[]): readonly Dim[] | undefined {
  const rank = Math.max(a.length, b.length);
  const dims: Dim[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const x = a[axis - rank + a.length] ?? 1;
    const y = b[axis - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) return undefined;
    dims.push(x === 1 ? y : x);
  }
  return dims;
}

/** Whether two shapes are the same, symbols by name. */
export function sameDims(a: readonly Dim[], b: readonly Dim[]): boolean {
  return a.length === b.length && a.every((dim, axis) => dim === b[axis]);
}

/** A shape as people write it: `[N, 3, 64, 64]`. */
export function formatDims(dims: readonly Dim[]): string {
  return `[${dims.join(', ')}]`;
}
