// The check that a lowered graph gives the values of its standard one: both run on the same random records and parameters.

import type { Tensor as OrtTensor } from 'onnxruntime-node';
import { randomStream } from '../../base/index.ts';
import type { Dim, ValueInfo } from '../../onnx/index.ts';
import { type Tensor, zeros } from '../../tensor/index.ts';
import type { LoweredSession } from './lowered.ts';
import type { GraphFile } from './messages.ts';
import { fromOrt, toOrt } from './ort-tensor.ts';
import { release } from './release.ts';
import type { Session, Values } from './session.ts';

/** Relative difference (L2) from which a lowered graph is refused: rounding may turn a rectifier or a maximum here and there, an error does more. */
const differenceMax = 0.02;

/** A run of the standard graph, to hold the lowered one against. */
export class Trial {
  readonly #file: GraphFile;
  readonly #feeds: Values;
  readonly #expected: Values;
  readonly #unit: number | undefined;

  private constructor(file: GraphFile, feeds: Values, expected: Values, unit: number | undefined) {
    this.#file = file;
    this.#feeds = feeds;
    this.#expected = expected;
    this.#unit = unit;
  }

  /** Runs the standard graph on random values, other ones for another seed. */
  static of(standard: Session, file: GraphFile, seed: number): Trial {
    // Three records in units of two are filled up, divided and added; few, so that the check costs little memory.
    const [batch, unit] = file.lowered?.paddable === true ? [3, 2] : [file.lowered?.recordsMultiple ?? 1, undefined];
    const feeds = Object.fromEntries(
      file.inputs.map((input, index) => [input.name, toOrt(randomValue(input, batch, [seed, index]))]),
    );
    return new Trial(file, feeds, standard.run(feeds), unit);
  }

  /** What the lowered graph gives that is not the same up to rounding, in words; undefined when there is nothing. */
  difference(lowered: LoweredSession): string | undefined {
    const all = Object.fromEntries(this.#file.outputs.map(({ name }) => [name, null]));
    const got = lowered.run(this.#feeds, all, this.#unit);
    let difference: string | undefined;
    for (const { name } of this.#file.outputs) {
      const value = fromOrt(got[name] as OrtTensor);
      const distance = relativeDistance(fromOrt(this.#expected[name] as OrtTensor), value);
      release(value.data);
      if (!(distance <= differenceMax))
        difference ??= `its lowered form gives another ${name}: relative difference ${distance.toPrecision(2)}, at most ${differenceMax} is rounding`;
    }
    return difference;
  }

  /** Gives back the memory of what the trial was made with. */
  release(): void {
    for (const values of [this.#feeds, this.#expected]) for (const value of Object.values(values)) release(value.data);
  }
}

/** Values as a network meets them: records around 0, weights small enough for their fan-in, everything else small and positive. */
function randomValue({ dtype, dims }: ValueInfo, batch: number, place: readonly [number, number]): Tensor {
  const sizes = dims.map((dim: Dim, axis) => (typeof dim === 'number' ? dim : axis === 0 ? batch : 1));
  const value = zeros(dtype, sizes);
  if (dtype === 'float32') {
    const fanIn = sizes.slice(1).reduce((product, size) => product * size, 1);
    const bound = typeof dims[0] === 'string' ? 1 : Math.sqrt(6 / fanIn);
    const [from, to] = typeof dims[0] === 'string' || sizes.length > 1 ? [-bound, bound] : [0, 0.1];
    fillRandom(value.data as Float32Array, from, to, place);
  } else if (dtype === 'bool') {
    const uniform = new Float32Array(value.data.length);
    fillRandom(uniform, 0, 1, place);
    for (let at = 0; at < uniform.length; at++) value.data[at] = uniform[at]! < 0.5 ? 1 : 0;
  }
  return value;
}

/**
 * Fills `out` with values between two numbers. A trial of a large network draws tens of millions, and a study stands still for it: Xorshift
 * (G. Marsaglia, J. Stat. Soft. 8(14), 2003) takes a tenth of the time of the project's counted randomness, and no result depends on it.
 */
export function fillRandom(
  out: Float32Array,
  from: number,
  to: number,
  [seed, index]: readonly [number, number],
): void {
  let word = randomStream(seed, 'lowering-check', [index]).word(0) | 1;
  const scale = (to - from) * 2 ** -24;
  for (let at = 0; at < out.length; at++) {
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    out[at] = from + (word >>> 8) * scale;
  }
}

/** |a - b| / |a| over all elements; values that are not numbers must be so in both. */
function relativeDistance(a: Tensor, b: Tensor): number {
  if (a.data instanceof Float32Array && b.data instanceof Float32Array) return distanceOf(a.data, b.data);
  return distanceOf(Float64Array.from(a.data, Number), Float64Array.from(b.data, Number));
}

function distanceOf(a: Float32Array | Float64Array, b: Float32Array | Float64Array): number {
  let apart = 0;
  let size = 0;
  for (let at = 0; at < a.length; at++) {
    const x = a[at]!;
    const y = b[at]!;
    if (Number.isNaN(x) && Number.isNaN(y)) continue;
    apart += (x - y) * (x - y);
    size += x * x;
  }
  return apart === 0 ? 0 : Math.sqrt(apart / size);
}
