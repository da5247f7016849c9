// Gradients of normalisations. All of them normalise x̂ = (x - mean)·r, r = 1/√(variance + ε), over some axes, and put out
// scale·x̂ + bias. With mean and variance those of x itself and p̂ = dy·scale:
//
//     dx = r·(p̂ - mean(p̂) - x̂·mean(p̂·x̂)),   dscale = Σ dy·x̂,   dbias = Σ dy
//
// Mean, x̂ and r are computed again rather than kept: ONNX's operators do not put them out.

import { floatAttribute, intAttribute } from '../../onnx/index.ts';
import { axisFromFront, range, type Ops } from '../ops.ts';
import type { Rule } from '../rule.ts';

interface Normalized {
  readonly xHat: string;
  /** 1 / √(variance + ε), the normalised axes as 1. */
  readonly reciprocal: string;
}

/** x̂ and r over the given axes, with the population variance. */
function normalize(ops: Ops, x: string, axes: readonly number[], epsilon: number): Normalized {
  const centred = ops.sub(x, ops.mean(x, axes, true));
  const variance = ops.mean(ops.square(centred), axes, true);
  const reciprocal = ops.unary('Reciprocal', ops.unary('Sqrt', ops.plus(variance, epsilon)));
  return { xHat: ops.mul(centred, reciprocal), reciprocal };
}

function throughNormalization(ops: Ops, p: string, { xHat, reciprocal }: Normalized, axes: readonly number[]): string {
  const along = ops.mul(xHat, ops.mean(ops.mul(p, xHat), axes, true));
  return ops.mul(reciprocal, ops.sub(ops.sub(p, ops.mean(p, axes, true)), along));
}

/** The running statistics are constants of the forward pass: r and mean do not depend on x. */
const batchNormalization: Rule = ({ node, ops, gradient, needs, refuse }) => {
  if (intAttribute(node, 'training_mode', 0) === 1)
    return refuse('its training mode is not differentiated; take the training form of the graph first');
  const [x, scale, , mean, variance] = node.inputs as [string, string, string, string, string];
  const rank = ops.rank(x);
  const channel = [-1, ...range(rank - 2).map(() => 1)];
  const sumAxes = range(rank).filter((axis) => axis !== 1);
  const deviation = ops.unary('Sqrt', ops.plus(variance, floatAttribute(node, 'epsilon', 1e-5)));
  const factor = ops.div(scale, deviation);
  const total = ops.sum(gradient, sumAxes, false);
  const centred = (): string => ops.sub(x, ops.reshape(mean, channel));
  const correlation = needs(1) || needs(4) ? ops.sum(ops.mul(gradient, centred()), sumAxes, false) : '';
  return [
    needs(0) ? ops.mul(gradient, ops.reshape(factor, channel)) : undefined,
    needs(1) ? ops.div(correlation, deviation) : undefined,
    needs(2) ? total : undefined,
    needs(3) ? ops.unary('Neg', ops.mul(total, factor)) : undefined,
    needs(4) ? ops.scale(ops.div(ops.mul(correlation, factor), ops.square(deviation)), -0.5) : undefined,
  ];
};

/** x [N, C, …] normalised over each group of channels and space; scale and bias a channel. */
function overGroups(groupsOf: (node: Parameters<Rule>[0]['node'], channels: number) => number): Rule {
  return ({ node, ops, gradient, needs, refuse }) => {
    const [x, scale] = node.inputs as [string, string];
    const [, channels, ...spatial] = ops.dims(x);
    if (typeof channels !== 'number' || !spatial.every((size) => typeof size === 'number'))
      return refuse('its channels and spatial sizes must be known');
    if (ops.dims(scale)[0] !== channels) return refuse('its scale must have one number a channel (operator set 21)');
    const groups = groupsOf(node, channels);
    const grouped = [0, groups, -1];
    const channel = [-1, ...spatial.map(() => 1)];
    const sumAxes = range(spatial.length + 2).filter((axis) => axis !== 1);
    const normalized = normalize(ops, ops.reshape(x, grouped), [2], floatAttribute(node, 'epsilon', 1e-5));
    const scaled = (): string => ops.reshape(ops.mul(gradient, ops.reshape(scale, channel)), grouped);
    return [
      needs(0) ? ops.reshapeLike(throughNormalization(ops, scaled(), normalized, [2]), x) : undefined,
      needs(1) ? ops.sum(ops.mul(gradient, ops.reshapeLike(normalized.xHat, x)), sumAxes, false) : undefined,
      needs(2) ? ops.sum(gradient, sumAxes, false) : undefined,
    ];
  };
}

/** Normalised over the axes from `axis` on; scale and bias have those axes. */
const layerNormalization: Rule = ({ node, ops, gradients, gradient, needs, refuse }) => {
  if (gradients[1] !== undefined || gradients[2] !== undefined)
    return refuse('its outputs Mean and InvStdDev have no gradient');
  const [x, scale, bias] = node.inputs as [string, string, string?];
  const rank = ops.rank(x);
  const axis = axisFromFront(intAttribute(node, 'axis', -1), rank);
  const axes = range(rank - axis, axis);
  const normalized = normalize(ops, x, axes, floatAttribute(node, 'epsilon', 1e-5));
  return [
    needs(0) ? throughNormalization(ops, ops.mul(gradient, scale), normalized, axes) : undefined,
    needs(1) ? ops.reduceTo(ops.mul(gradient, normalized.xHat), scale) : undefined,
    bias !== undefined && needs(2) ? ops.reduceTo(gradient, bias) : undefined,
  ];
};

export const normalizationRules: Readonly<Record<string, Rule>> = {
  BatchNormalization: batchNormalization,
  GroupNormalization: overGroups((node) => intAttribute(node, 'num_groups', 1)),
  InstanceNormalization: overGroups((_, channels) => channels),
  LayerNormalization: layerNormalization,
};
