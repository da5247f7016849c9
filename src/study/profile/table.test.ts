import { describe, expect, it } from 'vitest';
import type { ProcessProfile, Span } from './recorder.ts';
import type { Operation } from './runtime-files.ts';
import { profileTable } from './table.ts';
import { traceEvents } from './trace.ts';

const window = { fromUs: 1000, toUs: 5000, steps: 2 };

function profile(process: string, spans: readonly Span[]): ProcessProfile {
  return { process, spans, window, busyMs: 1, dropped: 0 };
}

function call(name: string, fromUs: number, toUs: number): Span {
  return { kind: 'engine', name, fromUs, toUs };
}

function operation(name: string, fromUs: number, toUs: number, process = 'server'): Operation {
  return { process, thread: 'engine', threads: 1, graph: 'trunk-step', name, node: 'n', fromUs, toUs };
}

describe('a profile’s table', () => {
  it('counts overlapping calls once, cuts them off at the window, and divides by the steps', () => {
    const table = profileTable(
      [profile('server', [call('a', 0, 2000), call('a', 1500, 3000), call('b', 4000, 9000)])],
      [],
    );
    expect(table?.stepMs).toBe(2);
    const ms = Object.fromEntries(table?.rows.map((row) => [row.name, row.ms]) ?? []);
    expect(ms).toEqual({ a: 1, b: 0.5, 'its own thread, busy': 0.5, 'nothing at its engine': 0.5 });
  });

  it('adds up operators over threads and gives the mean of the sites', () => {
    const table = profileTable(
      [profile('server', []), profile('a', []), profile('b', [])],
      [operation('Conv', 1000, 2000), operation('Conv', 1000, 3000), operation('Relu', 1000, 2000, 'b')],
    );
    expect(table?.rows.filter(({ kind }) => kind === 'operator')).toEqual([
      { who: 'server', kind: 'operator', name: 'trunk-step: Conv', ms: 1.5 },
      { who: 'site', kind: 'operator', name: 'trunk-step: Relu', ms: 0.25 },
    ]);
  });

  it('is not there when the server did not come so far', () => {
    expect(profileTable([{ ...profile('server', []), window: undefined }], [])).toBeUndefined();
  });
});

describe('a trace', () => {
  it('has each call as a pair of events and each operator in its thread’s row, from the trace’s start', () => {
    const events = traceEvents(
      [profile('server', [call('a', 1500, 3000)])],
      [operation('Conv', 2000, 2500)],
      1000,
      5000,
    );
    const [begin, end] = events.filter(({ cat }) => cat === 'engine');
    expect([begin?.ph, begin?.ts, end?.ph, end?.ts]).toEqual(['b', 500, 'e', 2000]);
    expect(begin?.id).toBe(end?.id);
    expect(events.find(({ cat }) => cat === 'operator')).toMatchObject({ name: 'Conv', ts: 1000, dur: 500, ph: 'X' });
  });
});
