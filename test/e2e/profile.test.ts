// A profile is of what really ran, on one clock: what one process did before another did not happen after it.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { TraceEvent } from '../../src/study/profile/trace.ts';
import { folder, septum } from './septum.ts';

interface Interval {
  readonly name: string;
  readonly cat: string;
  readonly process: string;
  readonly from: number;
  readonly to: number;
}

describe('septum bench --profile', () => {
  let file: string;
  let intervals: readonly Interval[];
  let output: string;

  beforeAll(async () => {
    file = join(folder(), 'trace.json');
    const run = await septum([
      'bench',
      '--network',
      'ct-cnn',
      '--sites',
      '2',
      '--batch',
      '16',
      '--steps',
      '6',
      '--warm-up',
      '2',
      '--profile',
      file,
    ]);
    output = run.stdout;
    const { traceEvents } = JSON.parse(await readFile(file, 'utf8')) as { traceEvents: TraceEvent[] };
    intervals = intervalsOf(traceEvents);
  }, 120_000);

  it('says where a step’s time went', () => {
    expect(output).toMatch(/6 steps, [\d.]+ ms each/);
    expect(output).toMatch(/^server$/m);
    expect(output).toMatch(/calls segment-learn +[\d.]+/);
    expect(output).toMatch(/trunk-step: Conv +[\d.]+/);
    expect(output).toContain(`trace: ${file}`);
  });

  it('shows each run of ONNX Runtime within a call on the engine of its process', () => {
    const runs = intervals.filter(({ cat }) => cat === 'run');
    expect(runs.length).toBeGreaterThan(20);
    const calls = intervals.filter(({ cat }) => cat === 'engine');
    const stray = runs.filter(
      (run) =>
        !calls.some((call) => call.process === run.process && run.from >= call.from - 1000 && run.to <= call.to + 1000),
    );
    // Weights’ layouts are computed and copies given when a run begins, which is not a call that is waited for.
    expect(stray.filter(({ name }) => !name.includes('(weights)'))).toEqual([]);
  });

  it('shows operators within runs', () => {
    const runs = intervals.filter(({ cat }) => cat === 'run');
    const operators = intervals.filter(({ cat }) => cat === 'operator');
    expect(operators.length).toBeGreaterThan(100);
    const inside = (one: Interval) =>
      runs.some((run) => run.process === one.process && one.from >= run.from - 2 && one.to <= run.to + 2);
    // The window cuts off runs at its edges, not the operators in them.
    expect(operators.filter((one) => !inside(one)).length).toBeLessThan(operators.length / 10);
  });

  it('has a message arrive after it was sent, by the clock of all processes', () => {
    const sends = intervals.filter(({ cat, name }) => cat === 'send' && name === 'activations');
    const arrivals = intervals.filter(({ cat, name }) => cat === 'receive' && name === 'activations');
    expect(sends.length).toBeGreaterThan(4);
    const first = arrivals.find(({ to }) => to > (sends[0] as Interval).from);
    expect(first).toBeDefined();
    // Every arrival has a send that began before it and not long ago: clocks that differ by a step's time would show.
    const unsent = arrivals.filter(({ to }) => !sends.some(({ from }) => from <= to && to - from < 500_000));
    expect(unsent.length).toBeLessThanOrEqual(2); // What was sent before the window.
  });
});

function intervalsOf(events: readonly TraceEvent[]): Interval[] {
  const processes = new Map(
    events.filter(({ name }) => name === 'process_name').map(({ pid, args }) => [pid, String(args?.['name'])]),
  );
  const ends = new Map(events.filter(({ ph }) => ph === 'e').map((event) => [event.id, event.ts ?? 0]));
  return events
    .filter(({ ph }) => ph === 'b' || ph === 'X')
    .map(({ name, cat = '', pid, ts = 0, dur = 0, id, ph }) => ({
      name,
      cat,
      process: processes.get(pid) ?? '',
      from: ts,
      to: ph === 'b' ? (ends.get(id) ?? Number.NaN) : ts + dur,
    }));
}
