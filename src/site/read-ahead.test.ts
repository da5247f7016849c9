import { describe, expect, it } from 'vitest';
import { DataError, FakeClock } from '../base/index.ts';
import type { OpenedData } from '../data/index.ts';
import { ReadAhead, readAheadMsMost } from './read-ahead.ts';

/** Data of which a record is read each millisecond of the clock, at most so many. */
function data(clock: FakeClock, records: number, failure?: Error): { opened: OpenedData; read: () => number } {
  let read = 0;
  const readAhead = async (mayGoOn: () => boolean): Promise<void> => {
    for (; read < records && mayGoOn(); read++) await clock.sleep(1);
    if (failure) throw failure;
  };
  return { opened: { readAhead } as OpenedData, read: () => read };
}

const forever = new AbortController().signal;

/** Whether a promise has settled. */
function settled(promise: Promise<unknown>): () => boolean {
  let done = false;
  promise.then(
    () => (done = true),
    () => (done = true),
  );
  return () => done;
}

describe('reading ahead', () => {
  it('is done when all is read', async () => {
    const clock = new FakeClock();
    const { opened, read } = data(clock, 5);
    const isDone = settled(new ReadAhead(opened, clock, forever).done());
    await clock.advance(4);
    expect(isDone()).toBe(false);
    await clock.advance(1);
    expect([isDone(), read()]).toEqual([true, 5]);
  });

  it('is done when its time is over, whatever is left', async () => {
    const clock = new FakeClock();
    const { opened, read } = data(clock, Infinity);
    const isDone = settled(new ReadAhead(opened, clock, forever).done());
    await clock.advance(readAheadMsMost);
    expect([isDone(), read()]).toEqual([true, readAheadMsMost]);
  });

  it('is done at once where records are there already', async () => {
    await expect(new ReadAhead({} as OpenedData, new FakeClock(), forever).done()).resolves.toBeUndefined();
  });

  it('ends with the signal, and when it is closed, after what is being read', async () => {
    const clock = new FakeClock();
    const controller = new AbortController();
    const first = data(clock, Infinity);
    const second = data(clock, Infinity);
    const isDone = settled(new ReadAhead(first.opened, clock, controller.signal).done());
    const closing = new ReadAhead(second.opened, clock, forever).close();
    const isClosed = settled(closing);
    controller.abort();
    await clock.advance(0);
    expect([isDone(), isClosed()]).toEqual([false, false]);
    await clock.advance(1);
    expect([isDone(), isClosed(), first.read(), second.read()]).toEqual([true, true, 1, 1]);
  });

  it('tells whoever waits what could not be read, and fails nobody else', async () => {
    const clock = new FakeClock();
    const ahead = new ReadAhead(
      data(clock, 0, new DataError('bad-file', 'a.png: cannot be decoded')).opened,
      clock,
      forever,
    );
    await clock.advance(1);
    await ahead.close();
    await expect(ahead.done()).rejects.toThrow('a.png: cannot be decoded');
  });
});
