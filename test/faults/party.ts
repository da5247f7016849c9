// One party of a study: the real server or the real agent of one site, with an engine of its own, over WebSockets. What it ends with is
// told as digests, so that a disturbed run can be held against an undisturbed one from another process.

import { setMaxListeners } from 'node:events';
import { type Clock, codeOf, sha256Hex } from '../../src/base/index.ts';
import { systemClock } from '../../src/base/node/index.ts';
import { openEngine } from '../../src/engine/node/index.ts';
import { type Gate, type Reception, type ServerEvent, StudyServer } from '../../src/server/index.ts';
import { SiteAgent, type SiteEvent, type SiteKeys } from '../../src/site/index.ts';
import {
  type ActivationStore,
  type CommitStore,
  createMemoryActivationStore,
  type Ledger,
} from '../../src/store/index.ts';
import { bytesOf, type Tensor } from '../../src/tensor/index.ts';
import type { Connection, Listener } from '../../src/transport/index.ts';
import { type OrderEntry, type planStudy, secretSeedOf } from '../harness/study.ts';

export type Planned = ReturnType<typeof planStudy>;

/** How often each thing happened. */
export type Tally = Record<string, number>;

/** What a party ended with. */
export interface Outcome {
  /** SHA-256 of all parameters that it holds at the end. */
  readonly parameters: string;
  /** The figures that it reports. */
  readonly figures: string;
  /** `refused bad-field`, `lost closed`, … : how its connections ended, by the error's code. */
  readonly tally: Tally;
}

export interface PartySettings {
  readonly clock?: Clock;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  /** The server's, for a site that has not come yet. */
  readonly joinTimeoutMs?: number;
  /** The server's, for a site that is connected and says nothing. */
  readonly silenceTimeoutMs?: number | undefined;
  /** Where the party keeps its commits. */
  readonly commits?: CommitStore;
  /** The server's, for commits within an epoch. */
  readonly commitEveryMs?: number | undefined;
  /** `detached`: where the server keeps activations; in memory of its own unless said otherwise. */
  readonly activations?: ActivationStore;
  /** `order: arrival`: gets the site of each step. */
  readonly log?: OrderEntry[];
  /** Where the engine runs; inline unless said otherwise. */
  readonly placement?: 'inline' | 'worker';
  /** A site's. */
  readonly ledger?: Ledger;
  /** The server's, for sites that come in by their keys. */
  readonly gate?: Gate;
  /** The server's, where several studies share a listener. */
  readonly reception?: Reception;
  /** Such a site's. */
  readonly keys?: SiteKeys;
}

/** Waits between attempts are cut short; what time it is stays true. */
export const hastyClock: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(ms / 200, signal),
};

/** A clock by which time passes `factor` times as fast. */
export function fastClock(factor: number): Clock {
  return {
    nowMs: () => systemClock.nowMs() * factor,
    setTimer: (ms, call) => systemClock.setTimer(ms / factor, call),
    sleep: (ms, signal) => systemClock.sleep(ms / factor, signal),
  };
}

/** Runs the study's server on a listener to the end. */
export async function serve(
  { plan, study }: Planned,
  listener: Listener,
  {
    clock = systemClock,
    signal = neverAborted(),
    timeoutMs = 30_000,
    joinTimeoutMs,
    silenceTimeoutMs,
    placement = 'inline',
    commits,
    commitEveryMs,
    activations = createMemoryActivationStore(plan.network.cutDims),
    log,
    gate,
    reception,
  }: PartySettings = {},
  onEvent: (event: ServerEvent) => void = () => undefined,
): Promise<Outcome> {
  const tally: Tally = {};
  const engine = await openEngine({ placement, threads: 1 });
  try {
    const server = new StudyServer({
      plan,
      study,
      engine,
      listener,
      reception,
      gate,
      clock,
      signal,
      timeoutMs,
      joinTimeoutMs,
      silenceTimeoutMs,
      commits,
      commitEveryMs,
      logOrder: async (entry) => void log?.push(entry),
      ...(plan.choices.when === 'detached' ? { activations } : {}),
      onEvent: (event) => {
        if (event.kind === 'refused') count(tally, `refused ${event.code}`);
        if (event.kind === 'site') count(tally, `${event.state} ${event.code}`.trimEnd());
        onEvent(event);
      },
    });
    const { trunk, segments, history, test } = await server.run();
    return {
      parameters: digestOf({ trunk, ...segments }),
      figures: JSON.stringify({ history, test }),
      tally,
    };
  } finally {
    await engine.close();
  }
}

/** Takes part in the study as one site, to the end. */
export async function takePart(
  { plan, study, data }: Planned,
  index: number,
  connect: (signal: AbortSignal) => Promise<Connection>,
  {
    clock = systemClock,
    signal = neverAborted(),
    timeoutMs = 30_000,
    placement = 'inline',
    commits,
    ledger,
    keys,
  }: PartySettings = {},
  onEvent: (event: SiteEvent) => void = () => undefined,
): Promise<Outcome> {
  const tally: Tally = {};
  const engine = await openEngine({ placement, threads: 1 });
  try {
    const agent = new SiteAgent({
      plan,
      study,
      index,
      data: data[index]!,
      engine,
      connect,
      keys,
      clock,
      signal,
      timeoutMs,
      secretSeed: secretSeedOf(index),
      commits,
      ledger,
      onEvent: (event) => {
        if (event.kind === 'lost' || event.kind === 'connected') count(tally, `${event.kind} ${event.code}`.trimEnd());
        onEvent(event);
      },
    });
    const { segment, trunk, counts } = await agent.run();
    return { parameters: digestOf({ segment, trunk: trunk ?? {} }), figures: JSON.stringify(counts), tally };
  } finally {
    await engine.close();
  }
}

/** An error as a party in another process tells of it. */
export function toldError(error: unknown): { readonly name: string; readonly code: string; readonly message: string } {
  const { name, message } = error instanceof Error ? error : { name: 'thrown', message: String(error) };
  return { name, code: codeOf(error), message };
}

export function count(tally: Tally, what: string, times = 1): void {
  tally[what] = (tally[what] ?? 0) + times;
}

/** SHA-256 over names and bits, independent of the order of the names. */
export function digestOf(parts: Readonly<Record<string, Readonly<Record<string, Tensor>>>>): string {
  const lines = Object.entries(parts).flatMap(([part, tensors]) =>
    Object.entries(tensors).map(([name, value]) => `${part}/${name} [${value.dims}] ${sha256Hex(bytesOf(value))}`),
  );
  return sha256Hex(new TextEncoder().encode(lines.sort().join('\n')));
}

function neverAborted(): AbortSignal {
  const { signal } = new AbortController();
  setMaxListeners(0, signal);
  return signal;
}
