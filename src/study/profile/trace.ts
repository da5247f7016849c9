// A profile as a Chrome trace, which chrome://tracing and Perfetto show: a process each for the server and the sites, in it a row for
// the steps' window, one for each kind of call, and one for each thread of the engine with its runs and operators.

import type { ProcessProfile, Span } from './recorder.ts';
import type { Operation } from './runtime-files.ts';

/** An event of Chrome's trace event format; `ts` and `dur` in microseconds. */
export interface TraceEvent {
  readonly name: string;
  readonly cat?: string;
  readonly ph: 'X' | 'b' | 'e' | 'M';
  readonly ts?: number;
  readonly dur?: number;
  readonly pid: number;
  readonly tid: number;
  readonly id?: string;
  readonly args?: Readonly<Record<string, unknown>>;
}

/** The events of the time from `fromUs` to `toUs`, which is where the trace's clock starts. */
export function traceEvents(
  profiles: readonly ProcessProfile[],
  operations: readonly Operation[],
  fromUs: number,
  toUs: number,
): TraceEvent[] {
  const events: TraceEvent[] = [];
  for (const [pid, profile] of profiles.entries()) {
    events.push({ name: 'process_name', ph: 'M', pid, tid: 0, args: { name: profile.process } });
    events.push({ name: 'process_sort_index', ph: 'M', pid, tid: 0, args: { sort_index: pid } });
    const rows = new Map<string, number>();
    const rowOf = (name: string): number => {
      const known = rows.get(name);
      if (known !== undefined) return known;
      const tid = rows.size + 1;
      rows.set(name, tid);
      events.push({ name: 'thread_name', ph: 'M', pid, tid, args: { name } });
      return tid;
    };
    const { window } = profile;
    if (window) {
      const { steps } = window;
      const place = { ts: window.fromUs - fromUs, dur: window.toUs - window.fromUs, pid, tid: rowOf('steps') };
      events.push({ name: `${steps} steps`, cat: 'steps', ph: 'X', ...place });
    }
    // Calls overlap, so each is a pair of events of its own.
    for (const [index, span] of profile.spans.entries()) {
      if (span.toUs < fromUs || span.fromUs > toUs) continue;
      const { kind, name, bytes } = span;
      const about = { name, cat: kind, pid, tid: rowOf(rowNames[kind]), id: `${pid}.${index}` };
      events.push({ ...about, ph: 'b', ts: span.fromUs - fromUs, ...(bytes === undefined ? {} : { args: { bytes } }) });
      events.push({ ...about, ph: 'e', ts: span.toUs - fromUs });
    }
    for (const operation of operations) {
      if (operation.process !== profile.process) continue;
      const { graph, name, node, thread, threads } = operation;
      events.push({
        name: name === 'run' ? graph : name,
        cat: name === 'run' ? 'run' : 'operator',
        ph: 'X',
        ts: operation.fromUs - fromUs,
        dur: operation.toUs - operation.fromUs,
        pid,
        tid: rowOf(`${thread} (ONNX Runtime)`),
        args: { graph, threads, ...(node === '' ? {} : { node }) },
      });
    }
  }
  return events;
}

const rowNames: Readonly<Record<Span['kind'], string>> = {
  engine: 'calls on the engine',
  send: 'sends',
  receive: 'waits for a message',
  data: 'loads records',
  commit: 'commits',
};
