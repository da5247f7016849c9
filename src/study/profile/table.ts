// Where the time of a step went, as rows of milliseconds.

import type { ProcessProfile, Span, SpanKind } from './recorder.ts';
import type { Operation } from './runtime-files.ts';

/** One line of a profile's table. */
export interface ProfileRow {
  /** The server, or the mean of the sites. */
  readonly who: 'server' | 'site';
  /** `thread`: the process's own thread; `run`: a graph in an engine's thread; `operator`: an operator in one. */
  readonly kind: SpanKind | 'thread' | 'run' | 'operator';
  readonly name: string;
  /**
   * Milliseconds a step in which it was under way. Runs and operators are added up over the engine's threads; all else is wall time, with
   * waiting for a thread or a peer in it.
   */
  readonly ms: number;
}

/** A profile's table. */
export interface ProfileTable {
  readonly steps: number;
  /** Wall time of a step, at the server. */
  readonly stepMs: number;
  readonly rows: readonly ProfileRow[];
}

interface Interval {
  readonly fromUs: number;
  readonly toUs: number;
}

/** The table of what the processes recorded; undefined when the server did not come to the steps that count. */
export function profileTable(
  profiles: readonly ProcessProfile[],
  operations: readonly Operation[],
): ProfileTable | undefined {
  const window = profiles.find(({ process }) => process === 'server')?.window;
  if (!window) return undefined;
  const rows: ProfileRow[] = [];
  for (const who of ['server', 'site'] as const) {
    const own = profiles.filter(({ process }) => (process === 'server') === (who === 'server'));
    const share = 1 / (1000 * window.steps * Math.max(1, own.length));
    const sums = new Map<string, number>();
    const add = (kind: ProfileRow['kind'], name: string, us: number): void => {
      const key = `${kind}\n${name}`;
      sums.set(key, (sums.get(key) ?? 0) + us * share);
    };
    for (const profile of own) {
      const steps = profile.window?.steps ?? window.steps;
      add('thread', 'its own thread, busy', (profile.busyMs * 1000 * window.steps) / steps);
      const atEngine = profile.spans.filter(({ kind }) => kind === 'engine');
      add('thread', 'nothing at its engine', window.toUs - window.fromUs - unionUs(atEngine, window));
      for (const spans of grouped(profile.spans, ({ kind, name }) => `${kind}\n${name}`).values()) {
        const { kind, name } = spans[0] as Span;
        const us = unionUs(spans, window);
        // The server always has a read open: that says nothing about waiting.
        if (us > 0 && !(who === 'server' && kind === 'receive')) add(kind, name, us);
      }
      for (const operation of operations.filter(({ process }) => process === profile.process)) {
        const { graph, name } = operation;
        const us = insideUs(operation, window);
        if (name === 'run') add('run', graph, us);
        else add('operator', `${graph}: ${name}`, us);
      }
    }
    const named = [...sums].map(([key, ms]) => {
      const [kind, name] = key.split('\n') as [ProfileRow['kind'], string];
      return { who, kind, name, ms };
    });
    rows.push(...named.sort((a, b) => kinds.indexOf(a.kind) - kinds.indexOf(b.kind) || b.ms - a.ms));
  }
  return { steps: window.steps, stepMs: (window.toUs - window.fromUs) / 1000 / window.steps, rows };
}

const kinds: readonly ProfileRow['kind'][] = [
  'thread',
  'receive',
  'send',
  'data',
  'commit',
  'engine',
  'run',
  'operator',
];

function insideUs({ fromUs, toUs }: Interval, window: Interval): number {
  return Math.max(0, Math.min(toUs, window.toUs) - Math.max(fromUs, window.fromUs));
}

/** Time in the window in which at least one of the spans was under way. */
function unionUs(spans: readonly Interval[], window: Interval): number {
  let sum = 0;
  let endUs = window.fromUs;
  for (const { fromUs, toUs } of [...spans].sort((a, b) => a.fromUs - b.fromUs)) {
    sum += insideUs({ fromUs: Math.max(fromUs, endUs), toUs }, window);
    endUs = Math.max(endUs, toUs);
  }
  return sum;
}

function grouped<T>(values: readonly T[], keyOf: (value: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const value of values) {
    const key = keyOf(value);
    const group = groups.get(key);
    if (group) group.push(value);
    else groups.set(key, [value]);
  }
  return groups;
}
