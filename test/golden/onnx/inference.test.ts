// Every operator whose shapes are inferred is run by ONNX Runtime, with the batch dimension N symbolic in the graph and 3 in the run.
// What comes out must have the inferred type and shape, and the elements wherever inference claims to know them.

import fc from 'fast-check';
import ort from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import {
  type Attribute,
  float,
  GraphBuilder,
  inferredOperators,
  int,
  ints,
  sizeOf,
  text,
  writeModel,
} from '../../../src/onnx/index.ts';
import {
  allocate,
  type ArrayOf,
  type DType,
  elementCount,
  float32,
  int64,
  type Tensor,
  tensor,
} from '../../../src/tensor/index.ts';

type Attributes = Readonly<Record<string, Attribute>>;

/** Inputs of a case by how they are given: dims of a float32 input, an input of another type, or a constant. */
type Input =
  readonly (number | string)[] | { readonly of: DType; readonly dims: readonly (number | string)[] } | Tensor | '';

interface Case {
  readonly op: string;
  readonly inputs: readonly Input[];
  readonly attributes?: Attributes;
  readonly outputs?: number;
}

const batch = 3;
const image = ['N', 4, 9, 7] as const;
const bool = (dims: readonly (number | string)[]): Input => ({ of: 'bool', dims });
const whole = (dims: readonly (number | string)[]): Input => ({ of: 'int64', dims });
const integers = (...values: readonly number[]): Tensor => int64(values);
const scalar = (value: number): Tensor => int64([value], []);
const case_ = (op: string, inputs: readonly Input[], attributes: Attributes = {}, outputs = 1): Case => ({
  op,
  inputs,
  attributes,
  outputs,
});

const unary = [
  'Sqrt', 'Exp', 'Log', 'LeakyRelu', 'Sigmoid', 'Tanh', 'Softplus', 'Softsign', 'Gelu', 'HardSwish', 'HardSigmoid', 'Elu',
  'Selu', 'Celu', 'Mish', 'ThresholdedRelu', 'Reciprocal', 'Floor', 'Ceil', 'Round', 'Sin', 'Cos', 'Tan', 'Asin', 'Acos', 'Atan',
  'Sinh', 'Cosh', 'Asinh', 'Acosh', 'Atanh', 'Softmax', 'LogSoftmax', 'Neg', 'Abs', 'Sign', 'Relu', 'Erf', 'IsNaN', 'IsInf',
  'Identity',
]; // prettier-ignore

const cases: readonly Case[] = [
  ...unary.map((op) => case_(op, [image])),
  ...['Add', 'Sub', 'Mul', 'Div', 'Pow', 'PRelu'].map((op) => case_(op, [['N', 4, 5], [4, 1]])),
  ...['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'].map((op) => case_(op, [['N', 1, 5], [4, 1]])),
  ...['Min', 'Max', 'Sum', 'Mean'].map((op) => case_(op, [['N', 4, 5], [5], ['N', 1, 1]])),
  ...['And', 'Or', 'Xor'].map((op) => case_(op, [bool(['N', 5]), bool([5])])),
  case_('Not', [bool(['N', 5])]),
  case_('Mod', [whole(['N', 5]), integers(3)]),
  case_('Add', [integers(1, 2), integers(5)]),
  case_('Sub', [integers(1, 2), integers(5, 7)]),
  case_('Mul', [integers(3, 2), integers(5, 7)]),
  case_('Div', [integers(13, -7), integers(5, 2)]),
  case_('Mod', [integers(-7, 7), integers(3, -3)]),
  case_('Equal', [integers(1, -1), integers(1)]),
  case_('Where', [bool(['N', 1]), [5], ['N', 5]]),
  case_('Clip', [image, float32([-1], []), float32([1], [])]),
  case_('Cast', [image], { to: int(7) }),
  case_('Cast', [float32([-1.5, 2.5])], { to: int(7) }),
  case_('CastLike', [image, bool([2])]),
  case_('Dropout', [image], {}, 2),
  case_('QuantizeLinear', [image, float32([0.1], []), tensor('int8', [], new Int8Array(1))]),
  case_('QuantizeLinear', [image, float32([0.1], [])]),
  case_('DequantizeLinear', [{ of: 'int8', dims: image }, float32([0.1], []), tensor('int8', [], new Int8Array(1))]),

  case_('Conv', [image, [6, 4, 3, 3], [6]]),
  case_('Conv', [image, [6, 2, 3, 2]], { group: int(2), strides: ints([2, 1]), pads: ints([1, 0, 2, 1]), dilations: ints([2, 3]) }),
  case_('Conv', [image, [6, 4, 3, 3]], { auto_pad: text('SAME_UPPER'), strides: ints([2, 2]) }),
  case_('Conv', [image, [6, 4, 3, 3]], { auto_pad: text('VALID'), strides: ints([2, 2]) }),
  case_('Conv', [['N', 2, 11], [5, 2, 3]], { pads: ints([1, 1]) }),
  case_('Conv', [[4, 'N', 9, 7], [6, 'N', 3, 3]]),
  case_('ConvTranspose', [image, [4, 5, 3, 3], [5]], { strides: ints([2, 3]), output_padding: ints([1, 0]), pads: ints([1, 0, 1, 1]) }),
  case_('ConvTranspose', [image, [4, 3, 3, 2]], { group: int(2), dilations: ints([2, 1]) }),
  case_('ConvTranspose', [image, [4, 3, 3, 3]], { auto_pad: text('SAME_UPPER'), strides: ints([2, 2]) }),
  case_('ConvTranspose', [image, [4, 3, 3, 3]], { output_shape: ints([18, 14]), strides: ints([2, 2]) }),
  case_('MaxPool', [image], { kernel_shape: ints([2, 2]), strides: ints([2, 2]) }, 2),
  case_('MaxPool', [image], { kernel_shape: ints([3, 2]), strides: ints([2, 3]), ceil_mode: int(1), pads: ints([1, 1, 1, 0]) }),
  case_('MaxPool', [image], { kernel_shape: ints([2, 2]), strides: ints([3, 3]), ceil_mode: int(1), pads: ints([1, 1, 1, 1]) }),
  case_('MaxPool', [image], { kernel_shape: ints([3, 2]), dilations: ints([2, 3]), strides: ints([1, 2]) }),
  case_('MaxPool', [image], { kernel_shape: ints([3, 3]), strides: ints([2, 2]), auto_pad: text('SAME_LOWER') }),
  case_('AveragePool', [image], { kernel_shape: ints([3, 3]), strides: ints([2, 2]), pads: ints([1, 1, 1, 1]), count_include_pad: int(1) }),
  case_('AveragePool', [image], { kernel_shape: ints([2, 3]), strides: ints([3, 2]), ceil_mode: int(1) }),
  case_('LpPool', [image], { kernel_shape: ints([2, 2]) }),
  case_('GlobalAveragePool', [image]),
  case_('GlobalMaxPool', [image]),

  case_('Gemm', [['N', 5], [5, 6], [6]]),
  case_('Gemm', [[5, 'N'], [6, 5], ['N', 1]], { transA: int(1), transB: int(1) }),
  case_('MatMul', [['N', 1, 4, 5], [2, 5, 6]]),
  case_('MatMul', [[5], ['N', 5, 6]]),
  case_('MatMul', [['N', 4, 5], [5]]),

  case_('BatchNormalization', [image, [4], [4], [4], [4]]),
  case_('InstanceNormalization', [image, [4], [4]]),
  case_('GroupNormalization', [image, [4], [4]], { num_groups: int(2) }),
  case_('LayerNormalization', [image, [9, 7], [9, 7]], { axis: int(-2) }, 3),
  case_('LpNormalization', [image]),
  case_('LRN', [image], { size: int(3) }),

  case_('Reshape', [image, integers(0, -1, 7)]),
  case_('Reshape', [image, integers(-1, 4)]),
  case_('Reshape', [[0, 4], integers(4, 0)], { allowzero: int(1) }),
  case_('Flatten', [image]),
  case_('Flatten', [image], { axis: int(0) }),
  case_('Flatten', [image], { axis: int(-1) }),
  case_('Transpose', [image]),
  case_('Transpose', [image], { perm: ints([0, 2, 3, 1]) }),
  case_('Transpose', [int64([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], [3, 2, 2])], { perm: ints([1, 2, 0]) }),
  case_('Squeeze', [['N', 1, 5, 1], integers(-1, 1)]),
  case_('Squeeze', [['N', 1, 5, 1]]),
  case_('Unsqueeze', [['N', 5], integers(0, -1)]),
  case_('DepthToSpace', [['N', 8, 3, 2]], { blocksize: int(2) }),
  case_('SpaceToDepth', [['N', 2, 6, 4]], { blocksize: int(2) }),

  case_('Concat', [['N', 2, 5], ['N', 3, 5]], { axis: int(1) }),
  case_('Concat', [['N', 5], ['N', 5]], { axis: int(0) }),
  case_('Concat', [integers(1, 2), integers(3)], { axis: int(0) }),
  case_('Concat', [int64([1, 2, 3, 4], [2, 2]), int64([5, 6], [1, 2])], { axis: int(0) }),
  case_('Split', [['N', 7], integers(3, 4)], { axis: int(-1) }, 2),
  case_('Split', [['N', 7]], { axis: int(1), num_outputs: int(3) }, 3),
  case_('Split', [integers(5, 6, 7), integers(1, 2)], {}, 2),
  case_('Slice', [image, integers(1, -3), integers(3, 1000), integers(1, 3)]),
  case_('Slice', [image, integers(-1, 0), integers(-1000, 2 ** 40), integers(2, 0), integers(-2, 1)]),
  case_('Slice', [image, integers(-1), integers(-(2 ** 40)), integers(0), integers(-1)]),
  case_('Slice', [integers(4, 5, 6, 7), integers(-1), integers(-100), integers(0), integers(-2)]),
  case_('Slice', [int64([1, 2, 3, 4, 5, 6], [3, 2]), integers(-1, 1), integers(-9, 9), integers(0, 1), integers(-2, 1)]),
  case_('Pad', [image, integers(0, 0, 1, 2, 0, 0, 3, 0)]),
  case_('Pad', [image, integers(1, -1), '', integers(-2)]),
  case_('Tile', [['N', 3], integers(2, 3)]),
  case_('Expand', [['N', 1, 3], integers(2, 1, 4, 1)]),
  case_('Expand', [integers(7), integers(3)]),
  case_('Resize', [image, '', float32([1, 1, 2, 1.5])], { mode: text('nearest') }),
  case_('Resize', [image, '', '', integers(12, 5)], { mode: text('linear'), axes: ints([2, 3]) }),

  case_('Gather', [image, whole(['N', 2])], { axis: int(2) }),
  case_('Gather', [integers(4, 5, 6), scalar(-1)]),
  case_('GatherElements', [['N', 5], whole(['N', 2])], { axis: int(1) }),
  case_('GatherND', [['N', 5, 6], whole(['N', 2, 1])], { batch_dims: int(1) }),
  case_('GatherND', [[5, 6, 'N'], whole([7, 2])]),
  case_('ScatterElements', [['N', 5], whole(['N', 2]), ['N', 2]], { axis: int(1), reduction: text('add') }),
  case_('ScatterND', [[5, 'N'], whole([2, 1]), [2, 'N']], { reduction: text('add') }),
  case_('OneHot', [whole(['N']), scalar(4), float32([0, 1])]),
  case_('OneHot', [whole(['N', 2]), scalar(4), float32([0, 1])], { axis: int(1) }),
  case_('TopK', [['N', 6], integers(2)], {}, 2),
  case_('CumSum', [['N', 6], scalar(1)]),
  case_('Trilu', [['N', 4, 5]]),

  ...['Sum', 'Mean', 'Max', 'Min', 'Prod', 'L1', 'L2', 'SumSquare', 'LogSum', 'LogSumExp'].flatMap((kind) => [
    case_(`Reduce${kind}`, [image, integers(-1, 2)]),
    case_(`Reduce${kind}`, [image, integers(0)], { keepdims: int(0) }),
  ]),
  case_('ReduceSum', [image]),
  case_('ReduceSum', [image, integers()], { noop_with_empty_axes: int(1) }),
  case_('ReduceProd', [integers(2, 3, 4), integers(0)]),
  case_('ArgMax', [image], { axis: int(1) }),
  case_('ArgMin', [image], { axis: int(-1), keepdims: int(0) }),

  case_('Constant', [], { value: { kind: 'tensor', value: float32([1, 2, 3, 4], [2, 2]) } }),
  case_('Constant', [], { value_ints: ints([5, 6]) }),
  case_('Constant', [], { value_float: float(0.5) }),
  case_('ConstantOfShape', [integers(2, 3)]),
  case_('ConstantOfShape', [integers(2)], { value: { kind: 'tensor', value: integers(9) } }),
  case_('Range', [scalar(2), scalar(11), scalar(4)]),
  case_('Range', [float32([0], []), float32([1], []), float32([0.3], [])]),
  case_('Shape', [image]),
  case_('Shape', [image], { start: int(-3), end: int(-1) }),
  case_('Size', [image]),
]; // prettier-ignore

/** Random in (-1, 1) for floats, so that every operator is defined except Acosh; 0 or 1 for integers and booleans. */
function fill(dtype: DType, dims: readonly number[]): Tensor {
  const data: ArrayOf[DType] = allocate(dtype, elementCount(dims));
  for (let index = 0; index < data.length; index++) {
    if (dtype === 'int64') data[index] = BigInt(index % 2);
    else data[index] = dtype === 'float32' ? Math.sin(index * 7.1) : index % 2;
  }
  return { dtype, dims, data };
}

async function check({ op, inputs, attributes = {}, outputs = 1 }: Case): Promise<void> {
  const builder = new GraphBuilder('case');
  const feeds: Record<string, ort.Tensor> = {};
  const names = inputs.map((input, index) => {
    if (input === '') return '';
    if ('data' in input) return builder.constant(input);
    const { of: dtype, dims } = 'of' in input ? input : { of: 'float32' as const, dims: input };
    const value = fill(dtype, dims.map((dim) => sizeOf(dim, { N: batch }))); // prettier-ignore
    feeds[`x${index}`] = new ort.Tensor(dtype as 'float32', value.data as Float32Array, value.dims);
    return builder.input(`x${index}`, dtype, dims);
  });
  const results = Array.from({ length: outputs }, (_, index) => `y${index}`);
  builder.addNode({ op, domain: '', inputs: names, outputs: results, attributes });
  const known = results.map((name) => builder.elementsOf(name));
  for (const name of results) builder.output(name);
  const graph = builder.build();

  const session = await ort.InferenceSession.create(writeModel(graph), {
    logSeverityLevel: 3,
    graphOptimizationLevel: 'disabled',
  });
  const got = await session.run(feeds);
  graph.outputs.forEach(({ name, dtype, dims }, index) => {
    const value = got[name];
    expect({ type: value?.type, dims: value?.dims }).toEqual({
      type: dtype,
      dims: dims.map((dim) => sizeOf(dim, { N: batch })),
    });
    const elements = known[index];
    if (elements)
      expect(Array.from(value?.data as Iterable<bigint>, Number)).toEqual(
        elements.map((element) => sizeOf(element, { N: batch })),
      );
  });
  await session.release();
}

describe('inferred types are those that ONNX Runtime computes', () => {
  for (const [index, one] of cases.entries()) {
    it(`${one.op} (case ${index})`, () => check(one));
  }

  it('holds for windows of any size, stride, padding and dilation', async () => {
    const axis = fc.record({
      size: fc.integer({ min: 1, max: 12 }),
      kernel: fc.integer({ min: 1, max: 4 }),
      stride: fc.integer({ min: 1, max: 4 }),
      dilation: fc.integer({ min: 1, max: 3 }),
      before: fc.integer({ min: 0, max: 3 }),
      after: fc.integer({ min: 0, max: 3 }),
    });
    const window = fc
      .record({
        op: fc.constantFrom('Conv', 'MaxPool', 'AveragePool'),
        x: axis,
        y: axis,
        ceil: fc.integer({ min: 0, max: 1 }),
      })
      // A pool pads by less than its kernel; a window fits into what it slides over.
      .filter(({ op, x, y }) =>
        [x, y].every(
          (one) =>
            (op === 'Conv' || Math.max(one.before, one.after) < one.kernel) &&
            (one.kernel - 1) * one.dilation < one.size + one.before + one.after,
        ),
      );
    await fc.assert(
      fc.asyncProperty(window, async ({ op, x, y, ceil }) => {
        await check({
          op,
          inputs:
            op === 'Conv'
              ? [
                  ['N', 1, x.size, y.size],
                  [1, 1, x.kernel, y.kernel],
                ]
              : [['N', 1, x.size, y.size]],
          attributes: {
            strides: ints([x.stride, y.stride]),
            dilations: ints([x.dilation, y.dilation]),
            pads: ints([x.before, y.before, x.after, y.after]),
            ...(op !== 'Conv' && { kernel_shape: ints([x.kernel, y.kernel]), ceil_mode: int(ceil) }),
          },
        });
      }),
      { numRuns: 300, seed: 1 },
    );
  });

  it('covers every operator that is inferred', () => {
    expect(inferredOperators.filter((op) => !cases.some((one) => one.op === op))).toEqual([]);
  });
});
