// Runs a graph in ONNX Runtime (CPU, float32, one thread).

import ort from 'onnxruntime-node';
import { writeModel, type Graph } from '../../src/onnx/index.ts';
import { tensor, type ArrayOf, type DType } from '../../src/tensor/index.ts';
import type { Feed } from './interpret.ts';
import { f64, fromTensor, toTensor, type F64Tensor } from './values.ts';

/** A graph that ONNX Runtime holds ready. */
export interface RuntimeGraph extends AsyncDisposable {
  /** The graph's outputs from feeds, which are rounded to their declared types. */
  run(feeds: Readonly<Record<string, Feed>>): Promise<Record<string, F64Tensor>>;
}

/** Loads a graph. Rejects when ONNX Runtime refuses it. */
export async function openOnRuntime(graph: Graph): Promise<RuntimeGraph> {
  const session = await ort.InferenceSession.create(writeModel(graph), {
    executionProviders: ['cpu'],
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
    logSeverityLevel: 3,
  });
  return {
    async run(feeds) {
      const given = graph.inputs.map(({ name, dtype }) => {
        const feed = feeds[name]!;
        const { data } = toTensor(f64(feed.dims, feed.data, dtype));
        return [name, new ort.Tensor(dtype as 'float32', data as Float32Array, [...feed.dims])] as const;
      });
      const results = await session.run(Object.fromEntries(given));
      return Object.fromEntries(
        Object.entries(results).map(([name, value]) => {
          const dtype = value.type as DType;
          return [name, fromTensor(tensor(dtype, value.dims, value.data as unknown as ArrayOf[DType]))];
        }),
      );
    },
    [Symbol.asyncDispose]: () => session.release(),
  };
}

/** The graph's outputs as ONNX Runtime computes them from feeds, which are rounded to their declared types. */
export async function runOnRuntime(
  graph: Graph,
  feeds: Readonly<Record<string, Feed>>,
): Promise<Record<string, F64Tensor>> {
  await using ready = await openOnRuntime(graph);
  return await ready.run(feeds);
}
