// Operators that work element by element, with ONNX's multidirectional broadcasting where they have several inputs.

import type { DType } from '../../tensor/index.ts';
import { dtypeOfCode } from '../data-type.ts';
import type { Dim } from '../graph.ts';
import { type Call, type Inference, floatTypes, integerTypes, numericTypes } from './call.ts';
import { addDims, broadcastDims, divideDims, formatDims, multiplyDims, subtractDims } from './dims.ts';

const anyType: readonly DType[] = [...numericTypes, 'bool'];

function unary(allowed: readonly DType[], result?: DType): Inference {
  return (call) => {
    const { dtype, dims } = call.typed(0, allowed);
    return [{ dtype: result ?? dtype, dims }];
  };
}

function broadcastInputs(call: Call): readonly Dim[] {
  let dims = call.dims(0);
  for (let index = 1; index < call.node.inputs.length; index++) {
    const next = broadcastDims(dims, call.dims(index));
    dims = next ?? call.fail(`a shape that broadcasts with ${formatDims(dims)}`, formatDims(call.dims(index)));
  }
  return dims;
}

type Follow = (a: Dim, b: Dim) => Dim | undefined;

/** The elements of a two-input operator on followed integers: equal lengths, or one of them a single element. */
export function followPairs(call: Call, first: number, second: number, follow: Follow): readonly Dim[] | undefined {
  const a = call.elements(first);
  const b = call.elements(second);
  if (!a || !b || (a.length !== b.length && a.length !== 1 && b.length !== 1)) return undefined;
  if (call.dims(first).length > 1 || call.dims(second).length > 1) return undefined;
  const result: Dim[] = [];
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const x = a[a.length === 1 ? 0 : index];
    const y = b[b.length === 1 ? 0 : index];
    const element = x === undefined || y === undefined ? undefined : follow(x, y);
    if (element === undefined) return undefined;
    result.push(element);
  }
  return result;
}

function binary(allowed: readonly DType[], result?: DType, follow?: Follow): Inference {
  return (call) => {
    call.typed(0, allowed);
    const dtype = call.sameType(0, 1);
    if (call.node.inputs.length !== 2) call.fail('two inputs', String(call.node.inputs.length));
    const dims = broadcastInputs(call);
    const elements = follow && !floatTypes.includes(dtype) && followPairs(call, 0, 1, follow);
    return [{ dtype: result ?? dtype, dims, ...(elements && { elements }) }];
  };
}

function variadic(allowed: readonly DType[]): Inference {
  return (call) => {
    call.typed(0, allowed);
    const dtype = call.sameType(...call.node.inputs.keys());
    return [{ dtype, dims: broadcastInputs(call) }];
  };
}

const numbers =
  (calculate: (a: number, b: number) => number): Follow =>
  (a, b) =>
    typeof a === 'number' && typeof b === 'number' ? calculate(a, b) : undefined;

/** A symbol stands for a positive size, so it differs from every number below 1. */
const equal: Follow = (a, b) => {
  if (a === b) return 1;
  if (typeof a === 'number' && typeof b === 'number') return 0;
  const number = typeof a === 'number' ? a : typeof b === 'number' ? b : undefined;
  return number !== undefined && number < 1 ? 0 : undefined;
};

const quotient: Follow = (a, b) =>
  typeof a === 'number' && typeof b === 'number' && b !== 0 ? Math.trunc(a / b) : divideDims(a, b);

const pow: Inference = (call) => {
  const { dtype } = call.typed(0, numericTypes);
  call.typed(1, numericTypes);
  return [{ dtype, dims: broadcastInputs(call) }];
};

const where: Inference = (call) => {
  call.typed(0, ['bool']);
  const dtype = call.sameType(1, 2);
  const dims = broadcastInputs(call);
  const chosen = call.elements(0);
  const yes = call.elements(1);
  const no = call.elements(2);
  if (chosen && yes?.length === chosen.length && no?.length === chosen.length && dims.length <= 1) {
    return [{ dtype, dims, elements: chosen.map((one, index) => (one === 0 ? no[index] : yes[index]) ?? 0) }];
  }
  return [{ dtype, dims }];
};

const prelu: Inference = (call) => {
  const { dtype, dims } = call.typed(0, numericTypes);
  call.sameType(0, 1);
  const broadcast = broadcastDims(dims, call.dims(1));
  if (!broadcast || formatDims(broadcast) !== formatDims(dims))
    call.fail(`a slope that broadcasts to ${formatDims(dims)}`, formatDims(call.dims(1)));
  return [{ dtype, dims }];
};

const clip: Inference = (call) => {
  const { dtype, dims } = call.typed(0, numericTypes);
  for (const bound of [1, 2]) {
    if (!call.has(bound)) continue;
    call.sameType(0, bound);
    call.ranked(bound, 0);
  }
  return [{ dtype, dims }];
};

const cast: Inference = (call) => {
  const code = call.int('to', 0);
  const dtype = dtypeOfCode(code) ?? call.fail('an element type that Septum has', `ONNX type ${code}`);
  return [castTo(call, dtype)];
};

const castLike: Inference = (call) => [castTo(call, call.dtype(1))];

function castTo(call: Call, dtype: DType) {
  const known = dtype === 'bool' ? undefined : call.elements(0);
  const elements =
    integerTypes.includes(dtype) && !integerTypes.includes(call.dtype(0))
      ? known?.map((element) => (typeof element === 'number' ? Math.trunc(element) : element))
      : known;
  return { dtype, dims: call.dims(0), ...(elements && { elements }) };
}

const identity: Inference = (call) => {
  const elements = call.elements(0);
  return [{ ...call.type(0), ...(elements && { elements }) }];
};

const dropout: Inference = (call) => {
  const { dtype, dims } = call.typed(0, floatTypes);
  return [
    { dtype, dims },
    { dtype: 'bool', dims },
  ];
};

/** QuantizeLinear: the zero point's type, or `output_dtype`, or uint8. */
const quantize: Inference = (call) => {
  const { dims } = call.typed(0, floatTypes);
  const dtype = call.has(2) ? call.dtype(2) : (dtypeOfCode(call.int('output_dtype', 0)) ?? 'uint8');
  return [{ dtype, dims }];
};

const dequantize: Inference = (call) => [
  { dtype: call.dtype(1), dims: call.typed(0, ['int8', 'uint8', 'int16', 'uint16', 'int32']).dims },
];

const floatUnary = [
  'Sqrt', 'Exp', 'Log', 'LeakyRelu', 'Sigmoid', 'Tanh', 'Softplus', 'Softsign', 'Gelu', 'HardSwish', 'HardSigmoid',
  'Elu', 'Selu', 'Celu', 'Mish', 'ThresholdedRelu', 'Reciprocal', 'Floor', 'Ceil', 'Round', 'Sin', 'Cos', 'Tan',
  'Asin', 'Acos', 'Atan', 'Sinh', 'Cosh', 'Asinh', 'Acosh', 'Atanh', 'Softmax', 'LogSoftmax',
]; // prettier-ignore

export const elementwise: Readonly<Record<string, Inference>> = {
  ...Object.fromEntries(floatUnary.map((op) => [op, unary(floatTypes)])),
  Neg: unary(numericTypes),
  Abs: unary(numericTypes),
  Sign: unary(numericTypes),
  Relu: unary(numericTypes),
  Erf: unary(numericTypes),
  Not: unary(['bool'], 'bool'),
  IsNaN: unary(floatTypes, 'bool'),
  IsInf: unary(floatTypes, 'bool'),
  Add: binary(numericTypes, undefined, addDims),
  Sub: binary(numericTypes, undefined, subtractDims),
  Mul: binary(numericTypes, undefined, multiplyDims),
  Div: binary(numericTypes, undefined, quotient),
  Mod: binary(
    numericTypes,
    undefined,
    numbers((a, b) => a - b * Math.floor(a / b)),
  ),
  Pow: pow,
  Equal: binary(anyType, 'bool', equal),
  Greater: binary(numericTypes, 'bool'),
  GreaterOrEqual: binary(numericTypes, 'bool'),
  Less: binary(numericTypes, 'bool'),
  LessOrEqual: binary(numericTypes, 'bool'),
  And: binary(['bool'], 'bool'),
  Or: binary(['bool'], 'bool'),
  Xor: binary(['bool'], 'bool'),
  Min: variadic(numericTypes),
  Max: variadic(numericTypes),
  Sum: variadic(floatTypes),
  Mean: variadic(floatTypes),
  Where: where,
  PRelu: prelu,
  Clip: clip,
  Cast: cast,
  CastLike: castLike,
  Identity: identity,
  Dropout: dropout,
  QuantizeLinear: quantize,
  DequantizeLinear: dequantize,
};
