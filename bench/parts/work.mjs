// How much arithmetic a training step is, and how fast this machine multiplies matrices: what a step could take at best.

import { openEngine } from '../../dist/engine/node/index.js';
import { GraphBuilder, inferTypes } from '../../dist/onnx/index.js';
import { benchStudy } from '../../dist/study/run/bench-study.js';
import { uncutOf } from '../../dist/study/run/uncut-speed.js';
import { planOf } from '../../dist/study/planned-study.js';
import { parseStudy } from '../../dist/study/study-file.js';
import { elementCount, zeros } from '../../dist/tensor/index.js';

/** Floating-point operations of the convolutions and matrix products in one training step of the uncut network on `records` records. */
export function stepFlops(network, records) {
  const text = benchStudy({ network, sites: 1, batch: records, segments: 'private', optimizer: 'sgd' });
  const { step } = uncutOf(planOf(parseStudy(text, 'bench.yaml')));
  const types = inferTypes(step);
  const sizes = (value) => types.get(value).dims.map((dim) => sizeOf(dim, records));
  let sum = 0;
  for (const { op, inputs, outputs, attributes } of step.nodes) {
    if (op === 'Conv') sum += 2 * elementCount(sizes(outputs[0])) * elementCount(sizes(inputs[1]).slice(1));
    else if (op === 'ConvTranspose')
      sum += 2 * elementCount(sizes(inputs[0])) * elementCount(sizes(inputs[1]).slice(1));
    else if (op === 'MatMul') sum += 2 * elementCount(sizes(outputs[0])) * sizes(inputs[0]).at(-1);
    else if (op === 'Gemm')
      sum += 2 * elementCount(sizes(outputs[0])) * sizes(inputs[0]).at(attributes.transA === 1 ? 0 : -1);
  }
  return sum;
}

/** `N`, or `2N`, or a number. */
function sizeOf(dim, records) {
  if (typeof dim === 'number') return dim;
  const [, factor, name] = /^(\d*)\*?([A-Za-z_]\w*)$/.exec(dim) ?? [];
  if (name === undefined) throw new Error(`a dimension of ${dim}`);
  return (factor === '' ? 1 : Number(factor)) * records;
}

/** Floating-point operations a second of a product of two 1024 x 1024 matrices with all threads: the best of twenty. */
export async function gemmSpeed() {
  const size = 1024;
  const builder = new GraphBuilder('gemm');
  const a = builder.input('a', 'float32', [size, size]);
  const b = builder.input('b', 'float32', [size, size]);
  builder.output(builder.add('MatMul', [a, b], {}, { output: 'y' }));
  const engine = await openEngine({ lowering: 'none', spinning: true });
  const graph = await engine.load(builder.build());
  await engine.put({ a: zeros('float32', [size, size]), b: zeros('float32', [size, size]) });
  let best = 0;
  for (let at = 0; at < 20; at++) {
    const since = performance.now();
    await engine.run({ graph, resident: { a: 'a', b: 'b' }, keep: { y: 'y' } });
    best = Math.max(best, (2 * size ** 3) / ((performance.now() - since) / 1000));
  }
  return best;
}
