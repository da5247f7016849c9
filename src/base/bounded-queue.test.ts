import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BoundedQueue } from './bounded-queue.ts';

/** Whether a promise has settled by the time that everything else that was ready has run. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const mark = () => {
    settled = true;
  };
  promise.then(mark, mark);
  for (let i = 0; i < 20; i++) await Promise.resolve();
  return settled;
}

describe('BoundedQueue', () => {
  test('a push into a full queue waits until an item is taken', async () => {
    const queue = new BoundedQueue<string>(2);
    await queue.push('a');
    await queue.push('b');
    const third = queue.push('c');
    const fourth = queue.push('d');
    expect(await isSettled(third)).toBe(false);
    expect(queue.length).toBe(2);
    expect(await queue.pop()).toBe('a');
    expect(await isSettled(third)).toBe(true);
    expect(await isSettled(fourth)).toBe(false);
    expect([await queue.pop(), await queue.pop(), await queue.pop()]).toEqual(['b', 'c', 'd']);
    await fourth;
  });

  test('pops that wait are served in their order', async () => {
    const queue = new BoundedQueue<number>(1);
    const first = queue.pop();
    const second = queue.pop();
    await queue.push(1);
    await queue.push(2);
    expect([await first, await second]).toEqual([1, 2]);
    expect(queue.length).toBe(0);
  });

  test('falsy items are items', async () => {
    const queue = new BoundedQueue<number>(1);
    await queue.push(0);
    const next = queue.push(0);
    expect([await queue.pop(), await queue.pop()]).toEqual([0, 0]);
    await next;
  });

  test('an aborted push leaves its item out, an aborted pop takes none', async () => {
    const queue = new BoundedQueue<number>(1);
    const popping = new AbortController();
    const popped = queue.pop(popping.signal);
    popping.abort(new Error('enough'));
    await expect(popped).rejects.toThrow('enough');
    await queue.push(1);
    const pushing = new AbortController();
    const pushed = queue.push(2, pushing.signal);
    const later = queue.push(3);
    pushing.abort('no error object');
    await expect(pushed).rejects.toThrow('aborted: no error object');
    await expect(queue.push(4, pushing.signal)).rejects.toThrow('aborted');
    await expect(queue.pop(popping.signal)).rejects.toThrow('enough');
    expect([await queue.pop(), await queue.pop()]).toEqual([1, 3]);
    await later;
    expect(queue.length).toBe(0);
  });

  test('a signal that is aborted after the call was served changes nothing', async () => {
    const queue = new BoundedQueue<number>(1);
    const controller = new AbortController();
    const popped = queue.pop(controller.signal);
    await queue.push(1);
    controller.abort();
    expect(await popped).toBe(1);
  });

  test('closing gives out what is left, then ends; waiting and later pushes are refused', async () => {
    const queue = new BoundedQueue<number>(1);
    await queue.push(1);
    const waiting = queue.push(2);
    queue.close();
    await expect(waiting).rejects.toMatchObject({ code: 'queue-closed' });
    await expect(queue.push(3)).rejects.toMatchObject({ code: 'queue-closed' });
    expect([await queue.pop(), await queue.pop()]).toEqual([1, undefined]);
  });

  test('closing wakes pops that wait, with the error if there is one', async () => {
    const ended = new BoundedQueue<number>(1);
    const waiting = [ended.pop(), ended.pop()];
    ended.close();
    expect(await Promise.all(waiting)).toEqual([undefined, undefined]);

    const failed = new BoundedQueue<number>(1);
    const failing = failed.pop();
    failed.close(new Error('the disk is full'));
    failed.close();
    await expect(failing).rejects.toThrow('the disk is full');
    await expect(failed.pop()).rejects.toThrow('the disk is full');
    await expect(failed.push(1)).rejects.toMatchObject({ cause: { message: 'the disk is full' } });
  });

  test('keeps every item in order and never exceeds its bound, whatever the interleaving', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.boolean(), { maxLength: 60 }),
        async (capacity, pushes) => {
          const queue = new BoundedQueue<number>(capacity);
          const taken: Promise<number | undefined>[] = [];
          const pending: Promise<void>[] = [];
          for (const isPush of pushes) {
            if (isPush) pending.push(queue.push(pending.length));
            else taken.push(queue.pop());
            expect(queue.length).toBeLessThanOrEqual(capacity);
          }
          const pushed = pending.length;
          while (taken.length < pushed) taken.push(queue.pop());
          await Promise.all(pending);
          queue.close();
          const items = await Promise.all(taken);
          expect(items.slice(0, pushed)).toEqual(Array.from({ length: pushed }, (_, i) => i));
          expect(items.slice(pushed).every((item) => item === undefined)).toBe(true);
        },
      ),
    );
  });

  test('iterates until it is closed and empty', async () => {
    const queue = new BoundedQueue<number>(2);
    const seen: number[] = [];
    const reading = (async () => {
      for await (const item of queue) seen.push(item);
    })();
    for (let i = 0; i < 10; i++) await queue.push(i);
    queue.close();
    await reading;
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });
});
