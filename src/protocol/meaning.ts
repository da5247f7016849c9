// How the plan says that the network's output is to be read.

import type { LossKind, Plan } from './plan.ts';

/** The plan's reading of the output; the same value as metrics' OutputMeaning. */
export type PlannedMeaning =
  | {
      readonly kind: 'classification';
      readonly loss: LossKind & ('softmax-cross-entropy' | 'binary-cross-entropy');
      readonly classCount: number;
      readonly positive: number;
      readonly threshold: number;
    }
  | {
      readonly kind: 'regression';
      readonly loss: LossKind & ('mse' | 'rmsle');
      readonly mean: number;
      readonly sd: number;
    };

/** The index of the class that a single logit speaks for, and whose probability a two-class AUC is about. */
export function positiveIndex(task: Plan['task'] & { kind: 'classification' }): number {
  return task.positive === undefined ? task.classes.length - 1 : task.classes.indexOf(task.positive);
}

/** How outputs are read, with the regression target's pooled moments. */
export function outputMeaning(
  plan: Pick<Plan, 'task'> & { readonly network: Pick<Plan['network'], 'loss'> },
  target: { readonly mean: number; readonly sd: number },
): PlannedMeaning {
  const { task, network } = plan;
  if (task.kind === 'classification') {
    const loss = network.loss === 'softmax-cross-entropy' ? network.loss : 'binary-cross-entropy';
    return {
      kind: 'classification',
      loss,
      classCount: task.classes.length,
      positive: positiveIndex(task),
      threshold: task.threshold,
    };
  }
  return { kind: 'regression', loss: network.loss === 'rmsle' ? 'rmsle' : 'mse', mean: target.mean, sd: target.sd };
}
