import { describe, expect, test } from 'vitest';
import { FakeClock } from './clock.ts';
import { withDeadline } from './deadline.ts';
import { TimeoutError } from './errors.ts';
import { systemClock } from './node/index.ts';

function never(): Promise<never> {
  return new Promise(() => {});
}

describe('withDeadline', () => {
  test('passes on what the work gives or throws, and leaves no timer behind', async () => {
    const clock = new FakeClock();
    expect(await withDeadline(Promise.resolve(7), 100, 'a number', clock)).toBe(7);
    await expect(withDeadline(Promise.reject(new Error('broken')), 100, 'x', clock)).rejects.toThrow('broken');
    const throwing = () => {
      throw new Error('at once');
    };
    await expect(withDeadline(throwing, 100, 'x', clock)).rejects.toThrow('at once');
    expect(clock.pending).toBe(0);
  });

  test('rejects at the deadline, naming the wait, and aborts the work', async () => {
    const clock = new FakeClock();
    let reason: unknown;
    const work = (signal: AbortSignal) => {
      signal.addEventListener('abort', () => (reason = signal.reason));
      return never();
    };
    let error: unknown;
    const done = withDeadline(work, 100, "site B's activations", clock).catch((thrown: unknown) => (error = thrown));
    await clock.advance(99);
    expect(error).toBeUndefined();
    await clock.advance(1);
    await done;
    expect(error).toBeInstanceOf(TimeoutError);
    expect((error as Error).message).toBe("site B's activations: not done within 100 ms");
    expect(reason).toBe(error);
  });

  test("ends with the caller's reason when the signal is aborted, before or during the wait", async () => {
    const clock = new FakeClock();
    const controller = new AbortController();
    const done = withDeadline(never(), 100, 'x', clock, controller.signal);
    controller.abort(new Error('stopped'));
    await expect(done).rejects.toThrow('stopped');
    let started = false;
    const work = async () => {
      started = true;
    };
    await expect(withDeadline(work, 100, 'x', clock, controller.signal)).rejects.toThrow('stopped');
    const failing = Promise.reject(new Error('unseen'));
    await expect(withDeadline(failing, 100, 'x', clock, controller.signal)).rejects.toThrow('stopped');
    expect(started).toBe(false);
    expect(clock.pending).toBe(0);
  });
});

describe('FakeClock', () => {
  test('runs due timers in the order of their time, then of their setting, and what they set', async () => {
    const clock = new FakeClock();
    const seen: string[] = [];
    const note = (name: string) => () => void seen.push(`${name} ${clock.nowMs()}`);
    clock.setTimer(20, note('b'));
    clock.setTimer(10, () => {
      note('a')();
      clock.setTimer(10, note('c'));
      clock.setTimer(11, note('late'));
    });
    const cancel = clock.setTimer(5, note('cancelled'));
    cancel();
    await clock.advance(20);
    expect(seen).toEqual(['a 10', 'b 20', 'c 20']);
    expect(clock.nowMs()).toBe(20);
    expect(clock.pending).toBe(1);
  });

  test('a sleep ends at its time, or with its signal', async () => {
    const clock = new FakeClock();
    const controller = new AbortController();
    const seen: number[] = [];
    const sleeper = (async () => {
      for (let i = 0; i < 3; i++) {
        await clock.sleep(10);
        seen.push(clock.nowMs());
      }
    })();
    const sleeping = clock.sleep(1000, controller.signal);
    await clock.advance(100);
    await sleeper;
    expect(seen).toEqual([10, 20, 30]);
    controller.abort(new Error('stopped'));
    await expect(sleeping).rejects.toThrow('stopped');
    await expect(clock.sleep(1, controller.signal)).rejects.toThrow('stopped');
    expect(clock.pending).toBe(0);
  });
});

describe('systemClock', () => {
  test('time passes by at least what was slept; a cancelled or far timer does not run', async () => {
    const wrong = () => {
      throw new Error('ran');
    };
    systemClock.setTimer(0, wrong)();
    const cancelFar = systemClock.setTimer(2 ** 40, wrong);
    const since = systemClock.nowMs();
    await systemClock.sleep(20);
    expect(systemClock.nowMs() - since).toBeGreaterThanOrEqual(20);
    cancelFar();
  });
});
