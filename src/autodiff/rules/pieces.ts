// Gradients of operators that join, cut or pick pieces of a value: each piece's gradient goes back to where it came from.

import { int, intAttribute, text, textAttribute, type Dim } from '../../onnx/index.ts';
import { axisFromFront, range, type Ops } from '../ops.ts';
import type { Rule, RuleContext } from '../rule.ts';

/** dy cut at the seams. */
const concat: Rule = ({ node, ops, builder, gradient }) => {
  const axis = axisFromFront(intAttribute(node, 'axis', 0), ops.rank(gradient));
  const sizes = node.inputs.map((input) => ops.dims(input)[axis]!);
  if (sizes.every((size) => typeof size === 'number')) return builder.split(gradient, axis, sizes);
  const shapes = node.inputs.map((input) => ops.gather(ops.shapeOf(input), 0, [axis]));
  const outputs = node.inputs.map((_, index) => builder.fresh(`${gradient}_part${index}`));
  return builder.addNode({
    op: 'Split',
    domain: '',
    inputs: [gradient, ops.concat(shapes, 0)],
    outputs,
    attributes: { axis: int(axis) },
  });
};

/** The parts' gradients joined; zeros for a part that has none. */
const split: Rule = ({ node, ops, gradients, gradient }) => {
  const axis = axisFromFront(intAttribute(node, 'axis', 0), ops.rank(node.inputs[0]!));
  const { dtype } = ops.builder.typeOf(gradient);
  const parts = node.outputs.map((output, index) => ops.cast(gradients[index] ?? ops.zerosLike(output), dtype));
  return [ops.concat(parts, axis)];
};

/** The integers of a constant input; `fallback` when the node does not have it. */
function integersOf(
  { node, builder, refuse }: RuleContext,
  input: number,
  fallback: readonly number[],
): readonly number[] {
  const name = node.inputs[input] ?? '';
  if (name === '') return fallback;
  const known = builder.constantOf(name);
  return known ? Array.from(known.data as ArrayLike<number | bigint>, Number) : refuse(`"${name}" must be constant`);
}

/** dy spread by the step, turned round where the step is negative, and padded with zeros to the input's size. */
const slice: Rule = (context) => {
  const { node, ops, gradient, refuse } = context;
  const dims = ops.dims(node.inputs[0]!);
  const starts = integersOf(context, 1, []);
  const axes = integersOf(context, 3, range(starts.length)).map((axis) => axisFromFront(axis, dims.length));
  const steps = integersOf(
    context,
    4,
    starts.map(() => 1),
  );
  const begin = dims.map(() => 0);
  const end = dims.map(() => 0);
  let value = gradient;
  axes.forEach((axis, index) => {
    const size = dims[axis]!;
    const count = ops.dims(gradient)[axis]!;
    const step = steps[index]!;
    if (typeof size !== 'number' || typeof count !== 'number') {
      // A symbolic axis can only be taken whole.
      if (step === -1) value = reverse(ops, value, axis);
      else if (size !== count) refuse('a part of the batch');
      return;
    }
    if (count === 0) return;
    const first = Math.min(Math.max(starts[index]! < 0 ? starts[index]! + size : starts[index]!, 0), size - 1);
    if (step < 0) value = reverse(ops, value, axis);
    value = spread(ops, value, axis, Math.abs(step));
    const lowest = step < 0 ? first + (count - 1) * step : first;
    begin[axis] = lowest;
    end[axis] = size - lowest - (count - 1) * Math.abs(step) - 1;
  });
  return [ops.pad(value, [...begin, ...end])];
};

function reverse(ops: Ops, value: string, axis: number): string {
  return ops.slice(value, [axis], [-1], [-(2 ** 31)], [-1]);
}

/** Puts `step - 1` zeros between neighbours along an axis. */
function spread(ops: Ops, value: string, axis: number, step: number): string {
  const dims = ops.dims(value);
  const count = dims[axis]!;
  if (step === 1 || count === 1 || typeof count !== 'number') return value;
  const columns = ops.unsqueeze(value, [axis + 1]);
  const pads = Array.from({ length: 2 * (dims.length + 1) }, () => 0);
  pads[dims.length + 1 + axis + 1] = step - 1;
  const filled = ops.reshapeTo(ops.pad(columns, pads), dims.with(axis, count * step));
  return ops.slice(filled, [axis], [0], [(count - 1) * step + 1]);
}

/** Only `constant` padding: dy without the border. The other modes read an element more than once. */
const pad: Rule = (context) => {
  const { node, ops, gradient, needs, refuse } = context;
  const mode = textAttribute(node, 'mode', 'constant');
  if (mode !== 'constant') return refuse(`padding of mode "${mode}" has no gradient rule`);
  if (needs(2)) return refuse('the padding value has no gradient');
  const rank = ops.rank(gradient);
  const pads = integersOf(context, 1, []);
  const axes = integersOf(context, 3, range(rank)).map((axis) => axisFromFront(axis, rank));
  const back = range(2 * rank).map(() => 0);
  axes.forEach((axis, index) => {
    back[axis] = -pads[index]!;
    back[axis + rank] = -pads[index + axes.length]!;
  });
  return [crop(ops, gradient, back)];
};

/** Pads by possibly negative numbers: a Slice where it cuts, a Pad where it adds. */
function crop(ops: Ops, value: string, pads: readonly number[]): string {
  const rank = pads.length / 2;
  const cut = range(rank).filter((axis) => pads[axis]! < 0 || pads[axis + rank]! < 0);
  const starts = cut.map((axis) => Math.max(0, -pads[axis]!));
  const ends = cut.map((axis) => (ops.dims(value)[axis] as number) - Math.max(0, -pads[axis + rank]!));
  const inner = cut.length === 0 ? value : ops.slice(value, cut, starts, ends);
  return ops.pad(
    inner,
    pads.map((amount) => Math.max(0, amount)),
  );
}

/** dy's rows added to the rows they were picked from, in the order of the indices where several picked the same. */
const gather: Rule = ({ node, ops, builder, gradient }) => {
  const [x, indices] = node.inputs as [string, string];
  const dims = ops.dims(x);
  const axis = axisFromFront(intAttribute(node, 'axis', 0), dims.length);
  const before = dims.slice(0, axis);
  const after = dims.slice(axis + 1);
  const ones = (list: readonly Dim[]): number[] => list.map(() => 1);
  const flat = ops.reshape(indices, [...ones(before), -1, ...ones(after)]);
  const count = ops.dims(flat)[axis]!;
  const rows = ops.reshapeTo(gradient, [...before, count, ...after]);
  const places = builder.add('Expand', [flat, ops.shapeOf(rows)]);
  return [
    builder.add('ScatterElements', [ops.zerosLike(x), places, rows], { axis: int(axis), reduction: text('add') }),
  ];
};

export const pieceRules: Readonly<Record<string, Rule>> = {
  Concat: concat,
  Gather: gather,
  Pad: pad,
  Slice: slice,
  Split: split,
};
