// Learning-rate schedules as functions of the step alone, so that a resumed run has the same rates.

/** `rate` is the learning rate after warm-up. */
export type Schedule = { readonly rate: number; readonly warmupSteps: number } & (
  | { readonly kind: 'constant' }
  /** Multiplied by `factor` after every `everySteps` steps. */
  | { readonly kind: 'step'; readonly everySteps: number; readonly factor: number }
  /** From `rate` to `finalRate` along half a cosine (Loshchilov and Hutter 2017, without restarts). */
  | { readonly kind: 'cosine'; readonly finalRate: number }
);

/**
 * The learning rate of step `step` (from 0) of `totalSteps`, in float64. During warm-up, t < W:
 *
 *     rate · (t + 1) / W
 *
 * and after it, with s = t - W steps done of S = totalSteps - W:
 *
 *     constant  rate
 *     step      rate · factor ^ floor(s / everySteps)
 *     cosine    finalRate + (rate - finalRate) · (1 + cos(π · s / S)) / 2
 *
 * A step past `totalSteps` has the last rate of the cosine.
 */
export function learningRate(schedule: Schedule, step: number, totalSteps: number): number {
  const { rate, warmupSteps } = schedule;
  if (step < warmupSteps) return (rate * (step + 1)) / warmupSteps;
  const done = step - warmupSteps;
  switch (schedule.kind) {
    case 'constant':
      return rate;
    case 'step':
      return rate * schedule.factor ** Math.floor(done / schedule.everySteps);
    case 'cosine': {
      const share = Math.min(1, done / Math.max(1, totalSteps - warmupSteps));
      return schedule.finalRate + ((rate - schedule.finalRate) * (1 + Math.cos(Math.PI * share))) / 2;
    }
  }
}
