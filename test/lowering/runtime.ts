// Runs graphs as they are and lowered, in ONNX Runtime without an engine around it.

import ort from 'onnxruntime-node';
import { randomStream } from '../../src/base/index.ts';
import { blockFrom, blockProbe } from '../../src/lower/index.ts';
import { type Graph, writeModel } from '../../src/onnx/index.ts';

export type Values = Readonly<Record<string, Float32Array>>;

/** Outputs of a graph whose values are all float32, from `records` records. One thread; levels that change layouts are left out. */
export async function run(graph: Graph, feeds: Values, records: number): Promise<Values> {
  const session = await ort.InferenceSession.create(writeModel(graph), {
    graphOptimizationLevel: 'extended',
    intraOpNumThreads: 1,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
    logSeverityLevel: 4,
  });
  try {
    const given = graph.inputs.map(({ name, dims }) => {
      const sizes = dims.map((dim) => (typeof dim === 'number' ? dim : records));
      return [name, new ort.Tensor('float32', feeds[name]!, sizes)] as const;
    });
    const results = await session.run(Object.fromEntries(given));
    return Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, data as Float32Array]));
  } finally {
    await session.release();
  }
}

/** Channels in a block of this machine's image kernels; undefined where ONNX Runtime has none for it. */
export async function blockHere(): Promise<number | undefined> {
  const { graph, x } = blockProbe();
  const { y } = await run(graph, { x }, 1).catch((): Values => ({}));
  return y && blockFrom(y);
}

/**
 * Values for a graph's inputs. `whole`: -1, 0 and 1, weights mostly 0, so that every sum is exact in float32 and windows tie;
 * `continuous`: records in [-1, 1), weights small enough for their fan-in.
 */
export function feedsFor(graph: Graph, records: number, seed: number, kind: 'whole' | 'continuous'): Values {
  const feeds = graph.inputs.map(({ name, dims }, index) => {
    const batched = typeof dims[0] === 'string';
    const sizes = dims.map((dim) => (typeof dim === 'number' ? dim : records));
    const data = new Float32Array(sizes.reduce((product, size) => product * size, 1));
    randomStream(seed, 'lowering-test', [index]).fillUniform(data);
    const fanIn = sizes.slice(1).reduce((product, size) => product * size, 1);
    const share = batched || dims.length === 1 ? 1 / 3 : Math.min(1 / 3, 8 / fanIn);
    const scale = batched ? 1 : dims.length === 1 ? 0.1 : Math.sqrt(6 / fanIn);
    const value = (u: number): number =>
      kind === 'continuous' ? (2 * u - 1) * scale : u < share ? 1 : u < 2 * share ? -1 : 0;
    return [name, data.map(value)] as const;
  });
  return Object.fromEntries(feeds);
}

/** |a - b| / |a| over all elements; 0 when both are zero. */
export function distance(a: Float32Array, b: Float32Array): number {
  if (a.length !== b.length) return Infinity;
  let apart = 0;
  let size = 0;
  a.forEach((value, at) => {
    apart += (value - b[at]!) ** 2;
    size += value ** 2;
  });
  return apart === 0 ? 0 : Math.sqrt(apart / size);
}
