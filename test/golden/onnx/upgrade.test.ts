// Graphs of older operator sets, run by ONNX Runtime as they are and after `upgrade`: the same numbers.

import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import {
  type Attribute,
  float,
  type Graph,
  GraphBuilder,
  int,
  ints,
  operatorName,
  OPSET,
  text,
  upgrade,
  validate,
  writeModel,
} from '../../../src/onnx/index.ts';
import { float32, int64, type Tensor } from '../../../src/tensor/index.ts';

/** A graph of one node over x [N, 4, 6, 5]; `more` are constants for the further inputs. */
function old(
  opset: number,
  op: string,
  attributes: Readonly<Record<string, Attribute>>,
  more: readonly (Tensor | '')[] = [],
  outputs: readonly string[] = ['y'],
): Graph {
  const builder = new GraphBuilder('old');
  builder.useOpset('', opset);
  builder.input('x', 'float32', ['N', 4, 6, 5]);
  const constants = more.map((value) => (value === '' ? '' : builder.constant(value)));
  builder.addNode({ op, domain: '', inputs: ['x', ...constants], outputs, attributes });
  for (const name of outputs) builder.output(name);
  return builder.build();
}

async function run(graph: Graph): Promise<Record<string, { dims: readonly number[]; data: unknown }>> {
  const session = await ort.InferenceSession.create(writeModel(graph), { logSeverityLevel: 3 });
  const data = Float32Array.from({ length: 2 * 4 * 6 * 5 }, (_, index) => Math.sin(index * 1.7));
  const results = await session.run({ x: new ort.Tensor('float32', data, [2, 4, 6, 5]) });
  await session.release();
  return Object.fromEntries(Object.entries(results).map(([name, { dims, data }]) => [name, { dims, data }]));
}

const reductions = ['Sum', 'Mean', 'Max', 'Min', 'Prod', 'L1', 'L2', 'SumSquare', 'LogSumExp'];

describe('a graph of an older operator set computes the same after upgrading', () => {
  const cases: readonly (readonly [string, Graph])[] = [
    ...reductions.map(
      (kind) => [`Reduce${kind} 11`, old(11, `Reduce${kind}`, { axes: ints([1, -1]), keepdims: int(0) })] as const,
    ),
    ['ReduceMean 17', old(17, 'ReduceMean', { axes: ints([2]) })],
    ['ReduceSum 11 of all', old(11, 'ReduceSum', {})],
    ['Unsqueeze 11', old(11, 'Unsqueeze', { axes: ints([0, 3]) })],
    ['Split 11 by sizes', old(11, 'Split', { split: ints([1, 3]), axis: int(1) }, [], ['y', 'z'])],
    ['Split 11 in equal parts', old(11, 'Split', { axis: int(1) }, [], ['y', 'z'])],
    ['Split 13 by sizes', old(13, 'Split', { axis: int(2) }, [int64([2, 4])], ['y', 'z'])],
    ['Split 13 in equal parts', old(13, 'Split', { axis: int(2) }, [], ['y', 'z'])],
    ['Dropout 11', old(11, 'Dropout', { ratio: float(0.3) })],
    ['Softmax 11, default axis', old(11, 'Softmax', {})],
    ['Softmax 11 over two axes', old(11, 'Softmax', { axis: int(2) })],
    ['Softmax 11 over all axes', old(11, 'Softmax', { axis: int(0) })],
    ['Softmax 11 over the last axis', old(11, 'Softmax', { axis: int(-1) })],
    ['LogSoftmax 12', old(12, 'LogSoftmax', { axis: int(-2) })],
    ['Softmax 13', old(13, 'Softmax', { axis: int(1) })],
    ['GroupNormalization 18', old(18, 'GroupNormalization', { num_groups: int(2) }, [float32([1, -2]), float32([3, 0.5])])],
    ['BatchNormalization 11', old(11, 'BatchNormalization', {}, [float32([1, 2, 3, 4]), float32([4, 3, 2, 1]), float32([0, 1, 0, 1]), float32([1, 2, 3, 4])])],
    ['Resize 11 by scales', old(11, 'Resize', { mode: text('nearest') }, [float32([]), float32([1, 1, 2, 2])])],
    ['Resize 11 to sizes', old(11, 'Resize', { mode: text('linear') }, [float32([]), float32([]), int64([2, 4, 9, 7])])],
    ['Clip 11', old(11, 'Clip', {}, [float32([-0.5], []), float32([0.5], [])])],
    ['Pad 11', old(11, 'Pad', { mode: text('reflect') }, [int64([0, 0, 1, 2, 0, 0, 3, 1])])],
    ['MaxPool 11', old(11, 'MaxPool', { kernel_shape: ints([3, 2]), strides: ints([2, 2]), ceil_mode: int(1) })],
    ['AveragePool 11', old(11, 'AveragePool', { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]), count_include_pad: int(1) })],
    ['Transpose 23', old(23, 'Transpose', {})],
  ]; // prettier-ignore

  for (const [name, graph] of cases) {
    it(`${name} to ${OPSET}`, async () => {
      const upgraded = upgrade(graph);
      validate(upgraded);
      expect(upgraded.opsets['']).toBe(OPSET);
      expect(upgraded.outputs.map(({ name }) => name)).toEqual(graph.outputs.map(({ name }) => name));
      const before = await run(graph);
      const after = await run(upgraded);
      for (const [output, value] of Object.entries(before)) {
        expect(after[output]?.dims).toEqual(value.dims);
        const numbers = Array.from(after[output]?.data as Float32Array);
        Array.from(value.data as Float32Array).forEach((number, index) =>
          expect(numbers[index]).toBeCloseTo(number, 5),
        );
      }
    });
  }
});

describe('upgrading', () => {
  it('turns Constant nodes into initializers', () => {
    const builder = new GraphBuilder('constants');
    builder.input('x', 'float32', ['N', 2]);
    const two = builder.add('Constant', [], { value_float: float(2) });
    const shape = builder.add('Constant', [], { value_ints: ints([-1]) });
    builder.output(builder.add('Reshape', [builder.add('Mul', ['x', two]), shape]), 'y');
    const upgraded = upgrade(builder.build());
    expect(upgraded.nodes.map(operatorName)).toEqual(['Mul', 'Reshape', 'Identity']);
    expect(upgraded.initializers.get(two)).toEqual(float32([2], []));
    expect(upgraded.initializers.get(shape)).toEqual(int64([-1]));
  });

  it('keeps a graph of operator set 21 without Constant nodes as it is', () => {
    const graph = old(OPSET, 'ReduceSum', {}, [int64([1])]);
    expect(upgrade(graph)).toEqual(graph);
  });

  it('refuses by name what it cannot bring along', () => {
    const statistics = [1, 2, 3, 4].map(() => float32([1, 2, 3, 4]));
    const training = old(11, 'BatchNormalization', {}, statistics);
    const node = training.nodes[0];
    if (!node) throw new Error('no node');
    expect(() => upgrade({ ...training, nodes: [{ ...node, outputs: ['y', 'mean'] }] })).toThrow(
      /BatchNormalization.* cannot be brought to operator set 21: it was exported in training mode/,
    );
    expect(() => upgrade(old(11, 'Resize', { coordinate_transformation_mode: text('tf_half_pixel_for_nn') }, ['', float32([1, 1, 2, 2])]))).toThrow(
      expect.objectContaining({ code: 'unsupported-operator' }),
    ); // prettier-ignore
  });
});
