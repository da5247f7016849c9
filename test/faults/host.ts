// The program of a child process that hosts parties of studies, so that what they hold in memory is theirs alone. It obeys its parent's
// words over the channel and ends with it.

import { connectWebSocket, type ListenOptions, listenWebSocket } from '../../src/transport/node/index.ts';
import { planStudy, type TestStudy } from '../harness/study.ts';
import { fuzz, type FuzzOrder, type FuzzResult } from './fuzz.ts';
import { count, fastClock, hastyClock, type Outcome, serve, takePart, type Tally, toldError } from './party.ts';

/** What a server is told beside its study. */
export interface ServerSetup {
  /** Numbers only: it comes over the channel. */
  readonly listen?: Partial<Omit<ListenOptions, 'onTurnedAway'>>;
  /** How many times as fast its time passes. */
  readonly speed?: number;
  /** How long it waits for a site that is connected and says nothing, in its time. */
  readonly silenceTimeoutMs?: number;
}

export type Order =
  | ({ readonly id: number; readonly kind: 'server'; readonly study: TestStudy } & ServerSetup)
  | {
      readonly id: number;
      readonly kind: 'site';
      readonly study: TestStudy;
      readonly index: number;
      readonly url: string;
    }
  | ({ readonly id: number; readonly kind: 'fuzz' } & FuzzOrder)
  | { readonly id: number; readonly kind: 'memory' };

export type Answer =
  | { readonly id: number; readonly kind: 'listening'; readonly url: string }
  | { readonly id: number; readonly kind: 'ended'; readonly outcome: Outcome }
  | { readonly id: number; readonly kind: 'fuzzed'; readonly result: FuzzResult }
  | { readonly id: number; readonly kind: 'failed'; readonly error: ReturnType<typeof toldError> }
  /** Resident bytes after a collection, and the most that was seen since the last such word. */
  | { readonly id: number; readonly kind: 'memory'; readonly residentBytes: number; readonly peakBytes: number };

const settings = { clock: hastyClock, timeoutMs: 60_000 };
let peakBytes = 0;
setInterval(() => (peakBytes = Math.max(peakBytes, process.memoryUsage.rss())), 20).unref();

async function obey(order: Order): Promise<void> {
  const { id } = order;
  if (order.kind === 'memory') {
    const peak = Math.max(peakBytes, process.memoryUsage.rss());
    (globalThis as { gc?: () => void }).gc?.();
    peakBytes = 0;
    return tell({ id, kind: 'memory', residentBytes: process.memoryUsage.rss(), peakBytes: peak });
  }
  if (order.kind === 'fuzz') return tell({ id, kind: 'fuzzed', result: await fuzz(order) });
  const planned = planStudy(order.study);
  if (order.kind === 'site') {
    const connect = (signal: AbortSignal) => connectWebSocket(order.url, { signal });
    return tell({ id, kind: 'ended', outcome: await takePart(planned, order.index, connect, settings) });
  }
  const turnedAway: Tally = {};
  const listener = await listenWebSocket({
    attemptsPerAddressMax: 1e6,
    ...order.listen,
    onTurnedAway: ({ times }) => count(turnedAway, 'turned away', times),
  });
  tell({ id, kind: 'listening', url: listener.address });
  const clock = order.speed === undefined ? settings.clock : fastClock(order.speed);
  const { speed = 1, silenceTimeoutMs } = order;
  const outcome = await serve(planned, listener, { clock, timeoutMs: settings.timeoutMs * speed, silenceTimeoutMs });
  tell({ id, kind: 'ended', outcome: { ...outcome, tally: { ...outcome.tally, ...turnedAway } } });
}

function tell(answer: Answer): void {
  process.send?.(answer);
}

process.on('message', (order: Order) => {
  obey(order).catch((error: unknown) => tell({ id: order.id, kind: 'failed', error: toldError(error) }));
});
process.on('disconnect', () => process.exit());
