import { describe, expect, it } from 'vitest';
import { Pace } from './pace.ts';

describe('Pace', () => {
  it('knows nothing before it has seen some steps', () => {
    const pace = new Pace();
    pace.expect(100);
    expect([pace.share, pace.recordsPerSecond, pace.secondsLeft(0)]).toEqual([0, undefined, undefined]);
    pace.step(10, 0);
    expect([pace.recordsPerSecond, pace.secondsLeft(0)]).toEqual([undefined, undefined]);
  });

  it('takes the speed of the last five seconds, and what is left from the whole', () => {
    const pace = new Pace();
    pace.expect(100);
    for (let step = 0; step < 10; step++) pace.step(10, 1000 * step);
    expect(pace.recordsPerSecond).toBeCloseTo(10, 6);
    for (let step = 0; step < 40; step++) pace.step(10, 9000 + 200 * (step + 1));
    expect(pace.recordsPerSecond).toBeCloseTo(50, 6);
    expect(pace.share).toBe(0.5);
    expect(pace.secondsLeft(17_000)).toBeCloseTo(17, 6);
  });

  it('counts steps that are told in one bundle', () => {
    const pace = new Pace();
    pace.expect(400);
    for (let bundle = 0; bundle < 20; bundle++) for (let step = 0; step < 10; step++) pace.step(8, 100 * bundle);
    expect(pace.recordsPerSecond).toBeCloseTo(800, 6);
  });

  it('takes what is left from the steps since a study went on', () => {
    const pace = new Pace();
    pace.expect(100);
    for (let step = 0; step < 10; step++) pace.step(10, 100 * step);
    pace.goOnFrom(60);
    expect(pace.share).toBe(0.6);
    for (let step = 0; step <= 10; step++) pace.step(10, 20_000 + 1000 * step);
    expect(pace.share).toBeCloseTo(0.71, 6);
    expect(pace.secondsLeft(30_000)).toBeCloseTo((10 / 11) * 29, 6);
  });
});
