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
function randomValue({ dtype, dims }: ValueInfo, batch: number, [seed, index]: readonly [number, number]): Tensor {
  const sizes = dims.map((dim: Dim, axis) => (typeof dim === 'number' ? dim : axis === 0 ? batch : 1));
  const value = zeros(dtype, sizes);
  if (dtype !== 'float32' && dtype !== 'bool') return value;
  const uniform = new Float32Array(value.data.length);
  randomStream(seed, 'lowering-check', [index]).fillUniform(uniform);
  const data = value.data as Float32Array;
  const fanIn = sizes.slice(1).reduce((product, size) => product * size, 1);
  for (let at = 0; at < data.length; at++) {
    const u = uniform[at]!;
    if (dtype === 'bool') data[at] = u < 0.5 ? 1 : 0;
    else if (typeof dims[0] === 'string') data[at] = 2 * u - 1;
    else if (sizes.length > 1) data[at] = (2 * u - 1) * Math.sqrt(6 / fanIn);
    else data[at] = 0.1 * u;
  }
  return value;
}

/** |a - b| / |a| over all elements; values that are not numbers must be so in both. */
function relativeDistance(a: Tensor, b: Tensor): number {
  let apart = 0;
  let size = 0;
  for (let at = 0; at < a.data.length; at++) {
    const [x, y] = [Number(a.data[at]), Number(b.data[at])];
    if (Number.isNaN(x) && Number.isNaN(y)) continue;
    apart += (x - y) ** 2;
    size += x ** 2;
  }
  return apart === 0 ? 0 : Math.sqrt(apart / size);
}
