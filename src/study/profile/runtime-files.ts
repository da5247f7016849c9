// The files that ONNX Runtime leaves of each session: when it ran, and each operator in it.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError, messageOf } from '../../base/index.ts';

/** Something that a thread of an engine did; microseconds of the machine's clock. */
export interface Operation {
  readonly process: string;
  /** `engine`, `engine 2`, … */
  readonly thread: string;
  /** Threads that worked on it. */
  readonly threads: number;
  readonly graph: string;
  /** The operator, or `run` for a whole run of the graph. */
  readonly name: string;
  readonly node: string;
  readonly fromUs: number;
  readonly toUs: number;
}

interface RuntimeEvent {
  readonly cat: string;
  readonly name: string;
  readonly ts: number;
  readonly dur: number;
  readonly args?: { readonly op_name?: string };
}

const kernelSuffix = '_kernel_time';
const startsName = 'starts.json';

/** What the sessions of all processes did between two moments. Throws DataError for a file that is none of theirs. */
export async function readOperations(folder: string, fromUs: number, toUs: number): Promise<Operation[]> {
  const operations: Operation[] = [];
  for (const file of (await readdir(folder)).sort()) {
    if (!file.endsWith('.json') || !file.includes('~') || file.endsWith(startsName)) continue;
    const [process = '', thread = '', number, threads, graph = ''] = file.split('~');
    const about = {
      process: decodeURIComponent(process),
      thread,
      threads: Number(threads),
      graph: decodeURIComponent(graph),
    };
    const events = await readJson<readonly RuntimeEvent[]>(join(folder, file));
    const starts = join(folder, `${[process, thread, number, threads, graph].join('~')}~${startsName}`);
    const clockUs = clockOf(events, await readJson<readonly number[]>(starts));
    for (const event of events) {
      const name = nameOf(event);
      const from = clockUs + event.ts;
      const to = from + event.dur;
      if (name === undefined || to < fromUs || from > toUs) continue;
      const node = name === 'run' ? '' : event.name.slice(0, -kernelSuffix.length);
      operations.push({ ...about, name, node, fromUs: from, toUs: to });
    }
  }
  return operations;
}

function nameOf({ cat, name, args }: RuntimeEvent): string | undefined {
  if (cat === 'Session') return name === 'model_run' ? 'run' : undefined;
  return cat === 'Node' && name.endsWith(kernelSuffix) ? args?.op_name : undefined;
}

/** The machine's time at which a session's clock stood at 0: no run began before it was asked for, and one began at once. */
function clockOf(events: readonly RuntimeEvent[], startsUs: readonly number[]): number {
  const runs = events.filter((event) => nameOf(event) === 'run');
  return startsUs.slice(0, runs.length).reduce((most, startUs, at) => Math.max(most, startUs - runs[at]!.ts), 0);
}

async function readJson<T>(path: string): Promise<T> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch (cause) {
    throw new DataError('bad-data', `${path}: not a profile of ONNX Runtime: ${messageOf(cause)}`, { cause });
  }
}
