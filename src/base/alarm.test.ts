import { expect, test } from 'vitest';
import { Alarm } from './alarm.ts';
import { FakeClock } from './clock.ts';

function open() {
  const clock = new FakeClock();
  const rung: number[] = [];
  return { clock, rung, alarm: new Alarm(clock, () => rung.push(clock.nowMs())) };
}

test('an alarm rings once, at its deadline, which is the earliest that was set', async () => {
  const { clock, rung, alarm } = open();
  alarm.within(50);
  alarm.within(20);
  alarm.within(80);
  await clock.advance(19);
  expect(rung).toEqual([]);
  await clock.advance(100);
  expect(rung).toEqual([20]);
  expect(clock.pending).toBe(0);
});

test('a deadline that is lifted does not ring, and one set after it rings in its own time', async () => {
  const { clock, rung, alarm } = open();
  for (let message = 0; message < 10; message++) {
    alarm.within(50);
    await clock.advance(30);
    alarm.lift();
  }
  expect(rung).toEqual([]);
  expect(clock.pending).toBe(1);
  alarm.within(50);
  await clock.advance(49);
  expect(rung).toEqual([]);
  await clock.advance(1);
  expect(rung).toEqual([350]);
});

test('a closed alarm leaves no timer', async () => {
  const { clock, rung, alarm } = open();
  alarm.within(50);
  alarm.close();
  expect(clock.pending).toBe(0);
  await clock.advance(100);
  expect(rung).toEqual([]);
});
