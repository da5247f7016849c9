// Optimizers as nodes of the update graph: pure functions from parameters, gradients and state to new parameters and state.
// The formulas are PyTorch's (torch.optim SGD, Adam, AdamW; torch.nn.utils.clip_grad_norm_), to the order of the operations.

import type { GraphBuilder } from '../onnx/index.ts';
import { Ops } from './ops.ts';

export type Optimizer =
  | {
      readonly kind: 'sgd';
      readonly momentum: number;
      readonly nesterov: boolean;
      readonly weightDecay: number;
    }
  | {
      readonly kind: 'adam' | 'adamw';
      readonly beta1: number;
      readonly beta2: number;
      readonly epsilon: number;
      readonly weightDecay: number;
    };

/** One parameter, its gradient (of its shape) and the values of its state, `slotCount` of them, of its shape; zeros at the start. */
export interface UpdateGroup {
  readonly parameter: string;
  readonly gradient: string;
  readonly slots: readonly string[];
}

/** The names of the new parameter and the new state. */
export interface Updated {
  readonly parameter: string;
  readonly slots: readonly string[];
}

/** How many values of state a parameter has: SGD's momentum buffer; Adam's first and second moment. */
export function slotCount(optimizer: Optimizer): number {
  if (optimizer.kind === 'sgd') return optimizer.momentum === 0 ? 0 : 1;
  return 2;
}

/** The hyper-parameters that change from step to step, as float32 scalars of the graph. */
interface Hyper {
  readonly learningRate: string;
  readonly correction1: string;
  readonly correction2: string;
  readonly scale: string;
}

/** What is done to the gradients before they are used. */
export interface GradientSettings {
  /** The largest allowed Euclidean norm over all groups' gradients; with a larger norm all are scaled by clipNorm / (norm + 1e-6). */
  readonly clipNorm?: number | undefined;
  /** The gradients are taken as they are: `hyper[3]` is always 1. */
  readonly unscaled?: boolean;
}

/**
 * Adds the update of all groups. The gradients, float32 or float64, are first rounded to float32, multiplied by `hyper[3]`, then clipped together, then used.
 *
 * @param hyper float32 [4]: learning rate, 1 - beta1^t, 1 - beta2^t (t counts updates from 1), gradient scale; see `hyperValues`
 */
export function addUpdate(
  builder: GraphBuilder,
  optimizer: Optimizer,
  groups: readonly UpdateGroup[],
  hyper: string,
  { clipNorm, unscaled = false }: GradientSettings = {},
): Updated[] {
  const ops = new Ops(builder);
  const [learningRate, correction1, correction2, scale] = [0, 1, 2, 3].map((index) => ops.pick(hyper, 0, index)) as [
    string,
    string,
    string,
    string,
  ];
  const values: Hyper = { learningRate, correction1, correction2, scale };
  let gradients = groups.map(({ gradient }) => {
    const rounded = ops.cast(gradient, 'float32');
    return unscaled ? rounded : ops.mul(rounded, scale);
  });
  if (clipNorm !== undefined && groups.length > 0) gradients = clipped(ops, gradients, clipNorm);
  return groups.map((group, index) =>
    optimizer.kind === 'sgd'
      ? sgd(ops, optimizer, group, gradients[index]!, values)
      : adam(ops, optimizer, group, gradients[index]!, values),
  );
}

/** g · min(1, max / (‖g‖ + 1e-6)) with ‖g‖ over all gradients. */
function clipped(ops: Ops, gradients: readonly string[], max: number): string[] {
  const squares = gradients.map((gradient) =>
    ops.builder.add('ReduceSumSquare', [gradient], { keepdims: { kind: 'int', value: 0 } }),
  );
  const norm = ops.unary('Sqrt', ops.total(squares));
  const coefficient = ops.min(ops.div(ops.scalar(max), ops.plus(norm, 1e-6)), ops.scalar(1));
  return gradients.map((gradient) => ops.mul(gradient, coefficient));
}

/** g ← g + λ·p; v ← μ·v + g; p ← p - lr·v, with Nesterov p ← p - lr·(g + μ·v). */
function sgd(
  ops: Ops,
  { momentum, nesterov, weightDecay }: Optimizer & { kind: 'sgd' },
  { parameter, slots }: UpdateGroup,
  gradient: string,
  { learningRate }: Hyper,
): Updated {
  const g = weightDecay === 0 ? gradient : ops.add(gradient, ops.scale(parameter, weightDecay));
  if (momentum === 0) return { parameter: ops.sub(parameter, ops.mul(g, learningRate)), slots: [] };
  const velocity = ops.add(ops.mul(slots[0]!, ops.scalar(momentum)), g);
  const direction = nesterov ? ops.add(g, ops.mul(velocity, ops.scalar(momentum))) : velocity;
  return { parameter: ops.sub(parameter, ops.mul(direction, learningRate)), slots: [velocity] };
}

/**
 * Adam: g ← g + λ·p; AdamW: p ← p - lr·λ·p. Then m ← β1·m + (1 - β1)·g; v ← β2·v + (1 - β2)·g²;
 * p ← p - lr / (1 - β1^t) · m / (√v / √(1 - β2^t) + ε).
 */
function adam(
  ops: Ops,
  { kind, beta1, beta2, epsilon, weightDecay }: Optimizer & { kind: 'adam' | 'adamw' },
  { parameter, slots }: UpdateGroup,
  gradient: string,
  { learningRate, correction1, correction2 }: Hyper,
): Updated {
  let g = gradient;
  let p = parameter;
  if (weightDecay !== 0 && kind === 'adam') g = ops.add(g, ops.scale(parameter, weightDecay));
  if (weightDecay !== 0 && kind === 'adamw')
    p = ops.mul(parameter, ops.sub(ops.scalar(1), ops.scale(learningRate, weightDecay)));
  const first = ops.add(ops.mul(slots[0]!, ops.scalar(beta1)), ops.scale(g, 1 - beta1));
  const second = ops.add(ops.mul(slots[1]!, ops.scalar(beta2)), ops.scale(ops.square(g), 1 - beta2));
  const denominator = ops.plus(ops.div(ops.unary('Sqrt', second), ops.unary('Sqrt', correction2)), epsilon);
  const stepSize = ops.div(learningRate, correction1);
  return { parameter: ops.sub(p, ops.mul(stepSize, ops.div(first, denominator))), slots: [first, second] };
}

/** `hyper` of `addUpdate` for update `t` (from 1) at the given learning rate and gradient scale; computed in float64. */
export function hyperValues(
  optimizer: Optimizer,
  learningRate: number,
  t: number,
  scale: number,
): Float32Array<ArrayBuffer> {
  const [beta1, beta2] = optimizer.kind === 'sgd' ? [0, 0] : [optimizer.beta1, optimizer.beta2];
  return Float32Array.of(learningRate, 1 - beta1 ** t, 1 - beta2 ** t, scale);
}
