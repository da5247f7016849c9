// A random forward graph under construction, with the numbers to feed it: what a gradient case draws on. Everything random comes
// from fast-check, so a failure is printed with its seed and shrinks.

import fc, { type GeneratorValue } from 'fast-check';
import { GraphBuilder, type Attribute, type Dim } from '../../src/onnx/index.ts';
import { elementCount, int64 } from '../../src/tensor/index.ts';
import type { Feed } from './interpret.ts';
import { f64 } from './values.ts';

/** A source of uniform numbers in [0, 1). */
export type Uniform = () => number;

/** Makes `count` numbers. */
export type Values = (count: number, uniform: Uniform) => number[];

/** The 32-bit xorshift generator of Marsaglia (2003), triple 13, 17, 5. */
export function uniformFrom(seed: number): Uniform {
  let state = (seed | 0) === 0 ? 0x9e3779b9 : seed | 0;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** Numbers about as large as 1, of both signs, at least `margin` from 0. */
export const apartFromZero =
  (margin: number, spread = 1.5): Values =>
  (count, uniform) =>
    Array.from({ length: count }, () => (uniform() < 0.5 ? -1 : 1) * (margin + spread * uniform()));

/** Numbers between -2 and 2. */
export const ordinary: Values = (count, uniform) => Array.from({ length: count }, () => 4 * uniform() - 2);

/** Numbers between 0.5 and 2.5. */
export const positive: Values = (count, uniform) => Array.from({ length: count }, () => 0.5 + 2 * uniform());

/** Numbers between `low` and `high`. */
export const between =
  (low: number, high: number): Values =>
  (count, uniform) =>
    Array.from({ length: count }, () => low + (high - low) * uniform());

/** Numbers that are all at least 0.02 apart, and from 0, in random order: no two can be mistaken for a tie. */
export const distinct: Values = (count, uniform) => {
  const numbers = Array.from({ length: count }, (_, i) => (i - count / 2 + 0.5) * (3 / Math.max(count, 75)));
  for (let i = count - 1; i > 0; i--) {
    const other = Math.floor(uniform() * (i + 1));
    [numbers[i], numbers[other]] = [numbers[other]!, numbers[i]!];
  }
  return numbers;
};

/** Small whole numbers: most windows hold their maximum more than once. */
export const tied: Values = (count, uniform) => Array.from({ length: count }, () => Math.floor(3 * uniform()) - 1);

/** Draws a graph's form and numbers. The batch dimension `N` is symbolic in about half of all scenarios. */
export class Scenario {
  readonly builder = new GraphBuilder('case');
  /** The numbers of every input, exact in float32. */
  readonly feeds: Record<string, Feed> = {};
  /** The inputs that have a gradient. */
  readonly wrt: string[] = [];
  /** The batch dimension as it is declared. */
  readonly N: Dim;
  /** Records in the batch. */
  readonly records: number;
  readonly #draw: GeneratorValue;
  readonly #uniform: Uniform;

  constructor(draw: GeneratorValue) {
    this.#draw = draw;
    this.records = this.integer(1, 3);
    this.N = this.flag() ? 'N' : this.records;
    this.#uniform = uniformFrom(draw(fc.integer, { min: 1, max: 2 ** 31 - 1 }));
  }

  /** A whole number from `low` to `high`. */
  integer(low: number, high: number): number {
    return this.#draw(fc.integer, { min: low, max: high });
  }

  flag(): boolean {
    return this.#draw(fc.boolean);
  }

  pick<T>(...options: readonly T[]): T {
    return options[this.integer(0, options.length - 1)]!;
  }

  /** `count` whole numbers from `low` to `high`. */
  integers(count: number, low: number, high: number): number[] {
    return Array.from({ length: count }, () => this.integer(low, high));
  }

  /** The sizes of declared dimensions. */
  sizes(dims: readonly Dim[]): number[] {
    return dims.map((dim) => (typeof dim === 'number' ? dim : this.records));
  }

  /** `values` of the given declared dimensions, rounded to float32. */
  numbers(dims: readonly Dim[], values: Values = ordinary): Feed {
    const sizes = this.sizes(dims);
    return f64(sizes, values(elementCount(sizes), this.#uniform).map(Math.fround));
  }

  /** The inputs whose gradients are asked for: most of `wrt`, so that rules are also tried with part of their work. */
  wanted(): string[] {
    const chosen = this.wrt.filter(() => this.integer(0, 5) > 0);
    return chosen.length > 0 ? chosen : [...this.wrt];
  }

  /** A float32 input that has a gradient. */
  input(dims: readonly Dim[], values?: Values): string {
    const name = this.fixed(dims, values);
    this.wrt.push(name);
    return name;
  }

  /** A float32 input without gradient. */
  fixed(dims: readonly Dim[], values?: Values): string {
    const name = this.builder.input(this.builder.fresh('x'), 'float32', dims);
    this.feeds[name] = this.numbers(dims, values);
    return name;
  }

  /** An input of whole numbers from `low` to `high`. */
  indices(dims: readonly Dim[], low: number, high: number): string {
    const name = this.builder.input(this.builder.fresh('index'), 'int64', dims);
    const sizes = this.sizes(dims);
    this.feeds[name] = f64(sizes, this.integers(elementCount(sizes), low, high), 'int64');
    return name;
  }

  /** A random boolean input. */
  flags(dims: readonly Dim[]): string {
    const name = this.builder.input(this.builder.fresh('flag'), 'bool', dims);
    const sizes = this.sizes(dims);
    this.feeds[name] = f64(sizes, this.integers(elementCount(sizes), 0, 1), 'bool');
    return name;
  }

  /** A constant int64 vector, as shapes, axes and pads are given. */
  list(...values: readonly number[]): string {
    return this.builder.constant(int64(values), 'i');
  }

  add(op: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}): string {
    return this.builder.add(op, inputs, attributes);
  }
}

/** One row of the table of gradient cases: builds a random forward graph and gives the values it is judged by. */
export interface GradientCase {
  readonly title: string;
  readonly build: (scenario: Scenario) => readonly string[] | string;
  /** Random graphs to try; the default is `runsOfCase`. */
  readonly runs?: number;
}
