// The program of a child process that hosts parties of studies, so that what they hold in memory is theirs alone. It obeys its parent's
// words over the channel and ends with it.

import { connectWebSocket, listenWebSocket } from '../../src/transport/node/index.ts';
import { planStudy, type TestStudy } from '../harness/study.ts';
import { hastyClock, type Outcome, serve, takePart, toldError } from './party.ts';

export type Order =
  | { readonly id: number; readonly kind: 'server'; readonly study: TestStudy }
  | {
      readonly id: number;
      readonly kind: 'site';
      readonly study: TestStudy;
      readonly index: number;
      readonly url: string;
    }
  | { readonly id: number; readonly kind: 'memory' };

export type Answer =
  | { readonly id: number; readonly kind: 'listening'; readonly url: string }
  | { readonly id: number; readonly kind: 'ended'; readonly outcome: Outcome }
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
  const planned = planStudy(order.study);
  if (order.kind === 'site') {
    const connect = (signal: AbortSignal) => connectWebSocket(order.url, { signal });
    return tell({ id, kind: 'ended', outcome: await takePart(planned, order.index, connect, settings) });
  }
  const listener = await listenWebSocket();
  tell({ id, kind: 'listening', url: listener.address });
  tell({ id, kind: 'ended', outcome: await serve(planned, listener, settings) });
}

function tell(answer: Answer): void {
  process.send?.(answer);
}

process.on('message', (order: Order) => {
  obey(order).catch((error: unknown) => tell({ id: order.id, kind: 'failed', error: toldError(error) }));
});
process.on('disconnect', () => process.exit());
