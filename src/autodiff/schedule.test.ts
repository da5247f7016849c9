import { describe, expect, it } from 'vitest';
import { learningRate, type Schedule } from './schedule.ts';

const rates = (schedule: Schedule, totalSteps: number): number[] =>
  Array.from({ length: totalSteps + 1 }, (_, step) => learningRate(schedule, step, totalSteps));

const expectRates = (schedule: Schedule, expected: readonly number[]): void => {
  rates(schedule, expected.length - 1).forEach((rate, step) => expect(rate).toBeCloseTo(expected[step]!, 12));
};

describe('learning rates', () => {
  it('rise linearly to the rate at the last step of the warm-up', () => {
    expectRates({ kind: 'constant', rate: 0.8, warmupSteps: 4 }, [0.2, 0.4, 0.6, 0.8, 0.8, 0.8]);
  });

  it('fall by a factor every so many steps after the warm-up', () => {
    expectRates({ kind: 'step', rate: 1, warmupSteps: 1, everySteps: 2, factor: 0.1 }, [1, 1, 1, 0.1, 0.1, 0.01, 0.01]);
  });

  it('follow half a cosine from the rate to the final rate, and stay there', () => {
    const schedule: Schedule = { kind: 'cosine', rate: 1, finalRate: 0.2, warmupSteps: 0 };
    expectRates(schedule, [1, 0.2 + 0.4 * (1 + Math.SQRT1_2), 0.6, 0.2 + 0.4 * (1 - Math.SQRT1_2), 0.2]);
    expect(learningRate(schedule, 99, 4)).toBeCloseTo(0.2, 12);
  });

  it('start the cosine after the warm-up', () => {
    expectRates({ kind: 'cosine', rate: 1, finalRate: 0, warmupSteps: 2 }, [0.5, 1, 1, 0.5, 0]);
  });
});
