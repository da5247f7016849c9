// Operators that compute each element on its own, after broadcasting. Source: the ONNX operator specification, opset 21.

import { floatAttribute, intAttribute, textAttribute, type Node } from '../../../src/onnx/index.ts';
import type { DType } from '../../../src/tensor/index.ts';
import { broadcastDims, f64, isInteger, stretched, type F64Tensor } from '../values.ts';
import { input, type Call, type Operator } from './call.ts';

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const clamp = (x: number, low: number, high: number): number => Math.min(Math.max(x, low), high);
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** The error function, to float64. Abramowitz and Stegun 7.1.6: erf x = 2/√π · e^(-x²) · Σ 2ⁿ x^(2n+1) / (1·3·…·(2n+1)). */
export function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > Math.abs(sum) * 1e-17; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

function roundHalfToEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

function gelu(node: Node): (x: number) => number {
  if (textAttribute(node, 'approximate', 'none') === 'tanh')
    return (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
  return (x) => 0.5 * x * (1 + erf(x / Math.SQRT2));
}

const unaryFormulas: Readonly<Record<string, (node: Node) => (x: number) => number>> = {
  Abs: () => Math.abs,
  Ceil: () => Math.ceil,
  Cos: () => Math.cos,
  Erf: () => erf,
  Exp: () => Math.exp,
  Floor: () => Math.floor,
  Identity: () => (x) => x,
  Log: () => Math.log,
  Neg: () => (x) => -x,
  Reciprocal: () => (x) => 1 / x,
  Relu: () => (x) => Math.max(x, 0),
  Round: () => roundHalfToEven,
  Sigmoid: () => sigmoid,
  Sign: () => Math.sign,
  Sin: () => Math.sin,
  Softplus: () => softplus,
  Softsign: () => (x) => x / (1 + Math.abs(x)),
  Sqrt: () => Math.sqrt,
  Tanh: () => Math.tanh,
  Elu: (node) => {
    const alpha = floatAttribute(node, 'alpha', 1);
    return (x) => (x < 0 ? alpha * Math.expm1(x) : x);
  },
  Gelu: gelu,
  HardSigmoid: (node) => {
    const alpha = floatAttribute(node, 'alpha', 0.2);
    const beta = floatAttribute(node, 'beta', 0.5);
    return (x) => clamp(alpha * x + beta, 0, 1);
  },
  HardSwish: () => (x) => x * clamp(x / 6 + 0.5, 0, 1),
  LeakyRelu: (node) => {
    const alpha = floatAttribute(node, 'alpha', 0.01);
    return (x) => (x < 0 ? alpha * x : x);
  },
  Mish: () => (x) => x * Math.tanh(softplus(x)),
  Selu: (node) => {
    const alpha = floatAttribute(node, 'alpha', 1.6732632423543772);
    const gamma = floatAttribute(node, 'gamma', 1.0507009873554805);
    return (x) => gamma * (x > 0 ? x : alpha * Math.expm1(x));
  },
};

function unary(formula: (node: Node) => (x: number) => number): Operator {
  return (call) => {
    const x = input(call, 0);
    return [f64(x.dims, x.data.map(formula(call.node)), x.dtype)];
  };
}

function predicate(holds: (x: number) => boolean): Operator {
  return (call) => {
    const x = input(call, 0);
    return [
      f64(
        x.dims,
        x.data.map((element) => (holds(element) ? 1 : 0)),
        'bool',
      ),
    ];
  };
}

/** Combines two values element by element after broadcasting. */
function combine(a: F64Tensor, b: F64Tensor, formula: (x: number, y: number) => number, dtype: DType): F64Tensor {
  const dims = broadcastDims(a.dims, b.dims);
  const left = stretched(a, dims);
  const right = stretched(b, dims);
  return f64(
    dims,
    left.map((x, index) => formula(x, right[index]!)),
    dtype,
  );
}

function binary(formula: (x: number, y: number) => number): Operator {
  return (call) => {
    const a = input(call, 0);
    return [combine(a, input(call, 1), formula, a.dtype)];
  };
}

function comparison(holds: (x: number, y: number) => boolean): Operator {
  return (call) => [combine(input(call, 0), input(call, 1), (x, y) => (holds(x, y) ? 1 : 0), 'bool')];
}

function divide(call: Call): F64Tensor[] {
  const a = input(call, 0);
  const whole = isInteger(a.dtype);
  return [combine(a, input(call, 1), (x, y) => (whole ? Math.trunc(x / y) : x / y), a.dtype)];
}

/** Mod: the result has the divisor's sign, or with `fmod` the dividend's. */
function modulo(call: Call): F64Tensor[] {
  const a = input(call, 0);
  const asInC = intAttribute(call.node, 'fmod', 0) === 1;
  return [combine(a, input(call, 1), (x, y) => (asInC ? x % y : x - y * Math.floor(x / y)), a.dtype)];
}

function fold(formula: (x: number, y: number) => number, finish: (total: number, count: number) => number): Operator {
  return (call) => {
    const values = call.inputs.map((_, index) => input(call, index));
    const total = values.reduce((sum, value) => combine(sum, value, formula, sum.dtype));
    return [{ ...total, data: total.data.map((element) => finish(element, values.length)) }];
  };
}

const asIs = (total: number): number => total;

/** Clip from opset 11: bounds are optional scalar inputs. */
function clip(call: Call): F64Tensor[] {
  const x = input(call, 0);
  const low = call.inputs[1]?.data[0] ?? -Infinity;
  const high = call.inputs[2]?.data[0] ?? Infinity;
  return [
    f64(
      x.dims,
      x.data.map((element) => clamp(element, low, high)),
      x.dtype,
    ),
  ];
}

function where(call: Call): F64Tensor[] {
  const [condition, a, b] = [input(call, 0), input(call, 1), input(call, 2)];
  const dims = broadcastDims(condition.dims, a.dims, b.dims);
  const [chosen, left, right] = [stretched(condition, dims), stretched(a, dims), stretched(b, dims)];
  return [
    f64(
      dims,
      chosen.map((yes, index) => (yes !== 0 ? left[index]! : right[index]!)),
      a.dtype,
    ),
  ];
}

/** ONNX's numbers for element types (TensorProto.DataType). */
const dtypeOfNumber: Readonly<Record<number, DType>> = {
  1: 'float32',
  2: 'uint8',
  3: 'int8',
  4: 'uint16',
  5: 'int16',
  6: 'int32',
  7: 'int64',
  9: 'bool',
  11: 'float64',
  12: 'uint32',
  13: 'uint64',
};

function convert(value: F64Tensor, dtype: DType): F64Tensor {
  const element = dtype === 'bool' ? (x: number) => (x !== 0 ? 1 : 0) : isInteger(dtype) ? Math.trunc : asIs;
  return f64(value.dims, value.data.map(element), dtype);
}

/** Cast: to an integer truncates, to a boolean asks whether it is not zero, to a float changes nothing. */
function cast(call: Call): F64Tensor[] {
  const number = intAttribute(call.node, 'to', 0);
  const dtype = dtypeOfNumber[number];
  if (!dtype) throw new Error(`node ${call.node.name} casts to element type ${number}, which is not interpreted`);
  return [convert(input(call, 0), dtype)];
}

export const elementwise: Readonly<Record<string, Operator>> = {
  ...Object.fromEntries(Object.entries(unaryFormulas).map(([op, formula]) => [op, unary(formula)])),
  IsNaN: predicate(Number.isNaN),
  IsInf: predicate((x) => Math.abs(x) === Infinity),
  Not: predicate((x) => x === 0),
  Add: binary((x, y) => x + y),
  Sub: binary((x, y) => x - y),
  Mul: binary((x, y) => x * y),
  Div: divide,
  Mod: modulo,
  Pow: binary((x, y) => x ** y),
  PRelu: binary((x, slope) => (x < 0 ? slope * x : x)),
  And: comparison((x, y) => x !== 0 && y !== 0),
  Or: comparison((x, y) => x !== 0 || y !== 0),
  Xor: comparison((x, y) => (x !== 0) !== (y !== 0)),
  Equal: comparison((x, y) => x === y),
  Greater: comparison((x, y) => x > y),
  GreaterOrEqual: comparison((x, y) => x >= y),
  Less: comparison((x, y) => x < y),
  LessOrEqual: comparison((x, y) => x <= y),
  Max: fold(Math.max, asIs),
  Min: fold(Math.min, asIs),
  Sum: fold((x, y) => x + y, asIs),
  Mean: fold(
    (x, y) => x + y,
    (total, count) => total / count,
  ),
  Clip: clip,
  Where: where,
  Cast: cast,
  CastLike: (call) => [convert(input(call, 0), input(call, 1).dtype)],
};
