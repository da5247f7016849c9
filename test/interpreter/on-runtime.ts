// Runs a graph in ONNX Runtime (CPU, float32, one thread).

import ort from 'onnxruntime-node';
import { writeModel, type Graph } from '../../src/onnx/index.ts';
import { tensor, type ArrayOf, type DType } from '../../src/tensor/index.ts';
import type { Feed } from './interpret.ts';
import { f64, fromTensor, toTensor, type F64Tensor } from './values.ts';

/** The graph's outputs as ONNX Runtime computes them from feeds rounded to their declared types. */
export async function runOnRuntime(
  graph: Graph,
  feeds: Readonly<Record<string, Feed>>,
): Promise<Record<string, F64Tensor>> {
  const session = await ort.InferenceSession.create(writeModel(graph), {
    executionProviders: ['cpu'],
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    extra: { session: { intra_op: { allow_spinning: '0' } } },
    logSeverityLevel: 3,
  });
  try {
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
  } finally {
    await session.release();
  }
}
