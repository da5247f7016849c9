// Running a lowered graph in the place of a standard one: batches that are filled up with records of zeros, and the check that both give
// the same values.

import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { randomStream } from '../../base/index.ts';
import type { Dim, ValueInfo } from '../../onnx/index.ts';
import { elementCount, type Tensor, zeros } from '../../tensor/index.ts';
import type { Declaration } from './check-run.ts';
import type { GraphFile } from './messages.ts';
import { fromOrt, toOrt } from './ort-tensor.ts';

/** Relative difference (L2) from which a lowered graph is refused: rounding may turn a rectifier or a maximum here and there, an error does more. */
const differenceMax = 0.02;

type Values = Readonly<Record<string, OrtTensor>>;

const isBatched = ({ dims }: ValueInfo): boolean => typeof dims[0] === 'string';

/** Records of a run; 0 when the graph has no input with a batch dimension. */
export function batchOf(graph: Declaration, feeds: Values): number {
  const batched = graph.inputs.find((input) => isBatched(input) && feeds[input.name]);
  return (batched && feeds[batched.name]?.dims[0]) ?? 0;
}

/** The inputs with `count` records of zeros after their own. */
export function padRecords(graph: Declaration, feeds: Values, count: number): Record<string, OrtTensor> {
  const padded: Record<string, OrtTensor> = { ...feeds };
  for (const input of graph.inputs) {
    const given = feeds[input.name];
    if (!given || !isBatched(input)) continue;
    const value = fromOrt(given);
    const larger = zeros(value.dtype, value.dims.with(0, (value.dims[0] ?? 0) + count));
    (larger.data as Float32Array).set(value.data as Float32Array);
    padded[input.name] = toOrt(larger);
  }
  return padded;
}

/** The outputs' first `batch` records. */
export function withoutPadding(graph: Declaration, results: Values, batch: number): Record<string, OrtTensor> {
  const cut: Record<string, OrtTensor> = { ...results };
  for (const output of graph.outputs) {
    const result = results[output.name];
    if (!result || !isBatched(output)) continue;
    const value = fromOrt(result);
    const dims = value.dims.with(0, batch);
    const data = (value.data as Float32Array<ArrayBuffer>).slice(0, elementCount(dims));
    cut[output.name] = toOrt({ ...value, dims, data });
  }
  return cut;
}

/** Runs both on the same random records and parameters. Returns what differs by more than rounding, or undefined. */
export async function difference(
  standard: InferenceSession,
  lowered: InferenceSession,
  file: GraphFile,
): Promise<string | undefined> {
  const { recordsMultiple = 1, paddable = false } = file.lowered ?? {};
  const batch = paddable && recordsMultiple > 1 ? recordsMultiple - 1 : recordsMultiple;
  const feeds = Object.fromEntries(
    file.inputs.map((input, index) => [input.name, toOrt(randomValue(input, batch, index))]),
  );
  const expected = await standard.run(feeds);
  const missing = batch % recordsMultiple === 0 ? 0 : recordsMultiple - (batch % recordsMultiple);
  const given = missing > 0 ? padRecords(file, feeds, missing) : feeds;
  const got = withoutPadding(file, await lowered.run(given), batch);
  for (const { name } of file.outputs) {
    const distance = relativeDistance(fromOrt(expected[name] as OrtTensor), fromOrt(got[name] as OrtTensor));
    if (!(distance <= differenceMax))
      return `its lowered form gives another ${name}: relative difference ${distance.toPrecision(2)}, at most ${differenceMax} is rounding`;
  }
  return undefined;
}

/** Values as a network meets them: records around 0, weights small enough for their fan-in, everything else small and positive. */
function randomValue({ dtype, dims }: ValueInfo, batch: number, index: number): Tensor {
  const sizes = dims.map((dim: Dim, axis) => (typeof dim === 'number' ? dim : axis === 0 ? batch : 1));
  const value = zeros(dtype, sizes);
  const uniform = new Float64Array(value.data.length);
  randomStream(1, 'lowering-check', [index]).fillUniform(uniform);
  if (dtype === 'bool') value.data.forEach((_, at) => ((value.data as Uint8Array)[at] = uniform[at]! < 0.5 ? 1 : 0));
  if (dtype !== 'float32') return value;
  const data = value.data as Float32Array;
  const batched = typeof dims[0] === 'string';
  const fanIn = sizes.slice(1).reduce((product, size) => product * size, 1);
  for (let at = 0; at < data.length; at++) {
    if (batched) data[at] = 2 * uniform[at]! - 1;
    else if (sizes.length > 1) data[at] = (2 * uniform[at]! - 1) * Math.sqrt(6 / fanIn);
    else data[at] = 0.1 * uniform[at]!;
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
