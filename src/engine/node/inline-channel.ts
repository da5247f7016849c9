// A core in the calling thread, for networks so small that a hop to another thread would cost more than the run.

import type { Channel } from './channel.ts';
import type { CoreSettings, Reply, Request } from './messages.ts';
import { serve } from './serve.ts';
import { SessionCore } from './session-core.ts';

/** After so many requests the event loop has a turn: whoever does nothing but compute would keep signals and sockets from being heard. */
const requestsATurn = 64;

/** Does requests in the thread that makes them, before `send` returns: a run blocks that thread for as long as it takes. */
export class InlineChannel implements Channel {
  readonly isAtOnce = true;
  readonly #core: SessionCore;
  #requests = 0;
  #turn: Promise<void> | undefined;

  constructor(settings: CoreSettings) {
    this.#core = new SessionCore(settings);
  }

  send(request: Request): Promise<Reply> {
    const reply = serve(this.#core, request);
    if (++this.#requests % requestsATurn === 0) this.#turn = nextTurn().then(() => (this.#turn = undefined));
    return this.#turn?.then(() => reply) ?? Promise.resolve(reply);
  }

  async ended(): Promise<void> {
    await this.#turn;
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
