import { describe, expect, it } from 'vitest';
import { EngineError } from '../../base/index.ts';
import { float32, int64 } from '../../tensor/index.ts';
import { GraphBuilder } from '../builder.ts';
import { float, int, ints } from '../graph.ts';

function withImage(): GraphBuilder {
  const builder = new GraphBuilder('test');
  builder.input('x', 'float32', ['N', 16, 7, 7]);
  return builder;
}

describe('the batch dimension', () => {
  it('is found again after a reshape to rows and back', () => {
    const builder = withImage();
    const channelsLast = builder.add('Transpose', ['x'], { perm: ints([0, 2, 3, 1]) });
    const rows = builder.add('Reshape', [channelsLast, builder.integers([-1, 16])]);
    expect(builder.dimsOf(rows)).toEqual(['49*N', 16]);
    const back = builder.add('Reshape', [rows, builder.integers([-1, 7, 7, 16])]);
    expect(builder.dimsOf(back)).toEqual(['N', 7, 7, 16]);
    expect(
      builder.dimsOf(builder.add('MatMul', [rows, builder.constant(float32(Array(32).fill(0), [16, 2]))])),
    ).toEqual(['49*N', 2]);
  });

  it('goes through the shapes that PyTorch computes at run time', () => {
    const builder = withImage();
    const batch = builder.add('Gather', [builder.add('Shape', ['x']), builder.constant(int64([0], []))]);
    expect(builder.elementsOf(batch)).toEqual(['N']);
    const target = builder.add(
      'Concat',
      [builder.add('Unsqueeze', [batch, builder.integers([0])]), builder.integers([-1])],
      { axis: int(0) },
    );
    expect(builder.dimsOf(builder.add('Reshape', ['x', target]))).toEqual(['N', 784]);
  });

  it('expands by the where-equal pattern that stands for -1', () => {
    const builder = withImage();
    const wanted = builder.integers([-1, 16, 7, 7]);
    const ones = builder.add('ConstantOfShape', [builder.integers([4])], {
      value: { kind: 'tensor', value: int64([1]) },
    });
    const shape = builder.add('Where', [builder.add('Equal', [wanted, builder.integers([-1])]), ones, wanted]);
    expect(builder.elementsOf(shape)).toEqual([1, 16, 7, 7]);
    expect(builder.dimsOf(builder.add('Expand', ['x', shape]))).toEqual(['N', 16, 7, 7]);
  });

  it('is refused where a size would have to be known', () => {
    const builder = withImage();
    const rows = builder.integers([0]);
    expect(() => builder.add('Slice', ['x', rows, builder.integers([2]), rows])).toThrow(
      /Slice.*expected a slice of fixed size, or of a whole symbolic dimension, got 0 to 2, step 1, of N/,
    );
    expect(() => builder.add('Reshape', ['x', builder.integers([-1, 5])])).toThrow(/holds 784\*N elements/);
    builder.input('other', 'float32', ['M', 16, 7, 7]);
    expect(() => builder.add('Add', ['x', 'other'])).toThrow(/broadcasts with \[N, 16, 7, 7\], got \[M, 16, 7, 7\]/);
  });
});

describe('a node that does not fit', () => {
  it('names node, operator, what was expected and what was got', () => {
    const builder = withImage();
    builder.input('w', 'float32', [8, 3, 3, 3]);
    const add = (): unknown =>
      builder.addNode({ op: 'Conv', domain: '', name: 'first', inputs: ['x', 'w'], outputs: ['y'], attributes: {} });
    expect(add).toThrow(EngineError);
    expect(add).toThrow(
      'node first (Conv): expected 3 input channels (weights [8, 3, 3, 3], group 1), got [N, 16, 7, 7]',
    );
    expect(add).toThrow(expect.objectContaining({ code: 'bad-graph' }));
    expect(builder.has('y')).toBe(false);
  });

  it.each([
    ['Relu', ['flags'], {}, /input 0 "flags" of float32.*got bool/],
    ['Add', ['x', 'count'], {}, /input 1 "count" of float32, got int64/],
    ['Add', ['x'], {}, /two inputs, got 1/],
    ['Gemm', ['x', 'x'], {}, /of 2 dimensions, got \[N, 16, 7, 7\]/],
    ['Transpose', ['x'], { perm: ints([0, 1, 1, 2]) }, /perm of 4 axes/],
    ['Concat', ['x', 'x'], { axis: int(4) }, /axis from -4 to 3, got 4/],
    ['Squeeze', ['x', 'axis1'], {}, /dimension 1 of size 1/],
    ['MaxPool', ['x'], { kernel_shape: ints([2]) }, /kernel_shape of 2 sizes/],
    ['MaxPool', ['x'], { kernel_shape: ints([9, 9]) }, /at least 9 in dimension 2/],
    ['Conv', ['x', 'w'], { pads: ints([1, 1]) }, /4 pads of at least 0/],
    ['Conv', ['x', 'w'], { strides: ints([0, 1]) }, /2 positive strides/],
    ['Reshape', ['x', 'count'], {}, /input 1 "count" that follows from shapes, got a run-time value/],
    ['Cast', ['x'], { to: int(16) }, /element type that Septum has, got ONNX type 16/],
    ['GroupNormalization', ['x', 'axis1', 'axis1'], { num_groups: int(3) }, /num_groups that divides 16 channels/],
    ['Softmax', ['nowhere'], { axis: int(1) }, /no value is called "nowhere"/],
    ['LayerNormalization', ['x', 'axis1'], { epsilon: float(1e-5) }, /of \[7\], got \[1\]/],
  ] as const)('%s of %j is refused', (op, inputs, attributes, message) => {
    const builder = withImage();
    builder.input('flags', 'bool', ['N']);
    builder.input('count', 'int64', [2]);
    builder.input('w', 'float32', [8, 16, 3, 3]);
    builder.initializer('axis1', int64([1]));
    expect(() => builder.add(op, inputs, attributes)).toThrow(message);
  });

  it('of an operator that is not known is refused by name', () => {
    expect(() => withImage().add('NonZero', ['x'])).toThrow(
      /^node \S+ \(NonZero\): Septum does not know this operator.*replace the node/,
    );
    expect(() => withImage().add('Gelu', ['x'], {}, { domain: 'com.microsoft' })).toThrow(/com\.microsoft\.Gelu/);
    expect(() => withImage().add('constructor', ['x'])).toThrow(
      expect.objectContaining({ code: 'unsupported-operator' }),
    );
  });
});

it('training-mode BatchNormalization gives running statistics of a channel each', () => {
  const builder = withImage();
  for (const name of ['scale', 'bias', 'mean', 'variance']) builder.input(name, 'float32', [16]);
  builder.addNode({
    op: 'BatchNormalization',
    domain: '',
    inputs: ['x', 'scale', 'bias', 'mean', 'variance'],
    outputs: ['y', 'newMean', 'newVariance'],
    attributes: { training_mode: int(1) },
  });
  expect(builder.dimsOf('y')).toEqual(['N', 16, 7, 7]);
  expect(builder.dimsOf('newVariance')).toEqual([16]);
});
