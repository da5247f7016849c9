// The numbers that change from step to step and go into an update graph as one tensor.

import { hyperValues, learningRate, type Schedule } from '../autodiff/index.ts';
import type { TrainingSettings } from '../protocol/index.ts';
import { type Tensor, tensor } from '../tensor/index.ts';

/** Where an update stands. */
export interface UpdatePlace {
  /** The step that the learning-rate schedule counts, from 0. */
  readonly step: number;
  /** Steps that the schedule is laid out over. */
  readonly totalSteps: number;
  /** This part's update, from 1: Adam's t. */
  readonly update: number;
  /** Factor of the gradient. */
  readonly scale: number;
}

/** float32 [4]: learning rate, Adam's corrections, gradient scale. */
export function hyperOf(
  training: Pick<TrainingSettings, 'learningRate' | 'schedule' | 'optimizer'>,
  place: UpdatePlace,
): Tensor<'float32'> {
  const rate = learningRate(scheduleOf(training), place.step, place.totalSteps);
  return tensor('float32', [4], hyperValues(training.optimizer, rate, place.update, place.scale));
}

/** By a study's settings: they are asked at every step. */
const schedules = new WeakMap<object, Schedule>();

function scheduleOf(training: Pick<TrainingSettings, 'learningRate' | 'schedule'>): Schedule {
  let schedule = schedules.get(training);
  if (!schedule) schedules.set(training, (schedule = makeSchedule(training)));
  return schedule;
}

function makeSchedule({ learningRate: rate, schedule }: Pick<TrainingSettings, 'learningRate' | 'schedule'>): Schedule {
  return schedule.kind === 'cosine' ? { ...schedule, rate, finalRate: schedule.floor * rate } : { ...schedule, rate };
}
