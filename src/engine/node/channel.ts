// How a NodeEngine reaches its core: through a thread's port, or directly.

import type { Reply, Request } from './messages.ts';

/** Carries requests to one core and answers in order. */
export interface Channel {
  /** Whether a request is done before `send` returns. Then nothing needs to move, and `transfer` may be empty. */
  readonly isAtOnce?: boolean;
  /**
   * Takes the request at once; the buffers of `transfer` may not be used again. Rejects with EngineError `engine-closed`
   * when the core is gone, and only then.
   */
  send(request: Request, transfer: readonly ArrayBuffer[]): Promise<Reply>;
  /** Waits until the core and what it ran on are gone. Called once, after the `close` request was answered or rejected. */
  ended(): Promise<void>;
}
