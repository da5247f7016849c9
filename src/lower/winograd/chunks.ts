// Computing in chunks of records, so that what a transform makes many times larger stays in the processor's cache: a Scan whose body takes
// one chunk. Values outside a body are read by it as they are. Without chunks the same nodes stand in the graph itself.

import { type Dim, GraphBuilder, int } from '../../onnx/index.ts';
import { float32 } from '../../tensor/index.ts';

/** Adds nodes for one chunk, [P, c, C], or for all records, [P, N, C]. */
export type Body = (part: {
  readonly builder: GraphBuilder;
  /** The chunk of each value that is taken in chunks. */
  readonly values: readonly string[];
  /** A value of the graph around. */
  readonly outer: (value: string) => string;
  /** The sums over the chunks before this one; none at all without chunks. */
  readonly sums: readonly string[];
}) => {
  /** A chunk's part of each output. */
  readonly outputs: readonly string[];
  /** The sums with this chunk's share. */
  readonly sums: readonly string[];
};

export interface Chunked {
  /** In chunks, [K, P, c, C] each; without chunks, [P, N, C]. */
  readonly values: readonly string[];
  /** Dimensions of each float32 sum. */
  readonly sums: readonly (readonly number[])[];
  /** K; undefined without chunks. */
  readonly count: Dim | undefined;
}

/** Adds `body` for every chunk. The outputs are those of all chunks, [K, P, c, C]; the sums are over all records. */
export function addChunks(builder: GraphBuilder, { values, sums, count }: Chunked, body: Body): ReturnType<Body> {
  if (count === undefined) return body({ builder, values, outer: (value) => value, sums: [] });
  const name = builder.fresh('chunk');
  builder.reserve([name]);
  const inner = new GraphBuilder(name, `${name}/`);
  const input = (value: string, dims: readonly Dim[]): string =>
    inner.input(inner.fresh('in'), builder.typeOf(value).dtype, dims);
  const starts = sums.map((dims) => builder.constant(float32(new Float32Array(product(dims)), dims), 'zeros'));
  const before = starts.map((start) => input(start, builder.dimsOf(start)));
  const chunk = values.map((value) => input(value, builder.dimsOf(value).slice(1)));
  const made = body({
    builder: inner,
    values: chunk,
    outer: (value) => inner.outer(value, builder.typeOf(value)),
    sums: before,
  });
  const results = [...made.sums, ...made.outputs];
  for (const result of results) inner.output(result);
  const graph = inner.build({ prune: true });
  const types = results.map((result, index) => {
    const { dtype, dims } = inner.typeOf(result);
    return { dtype, dims: index < sums.length ? dims : [count, ...dims] };
  });
  const outputs = results.map((_, index) => `${name}/out${index}`);
  builder.addTyped(
    {
      op: 'Scan',
      domain: '',
      inputs: [...starts, ...values],
      outputs,
      attributes: { body: { kind: 'graph', value: graph }, num_scan_inputs: int(values.length) },
    },
    types,
  );
  return { sums: outputs.slice(0, sums.length), outputs: outputs.slice(sums.length) };
}

function product(dims: readonly number[]): number {
  return dims.reduce((size, dim) => size * dim, 1);
}
