// A core in the calling thread, for networks so small that a hop to another thread would cost more than the run.

import type { Channel } from './channel.ts';
import type { CoreSettings, Reply, Request } from './messages.ts';
import { serve } from './serve.ts';
import { SessionCore } from './session-core.ts';

/** Does requests in order in the thread that made them: a run blocks that thread for as long as it takes. */
export class InlineChannel implements Channel {
  readonly #core: SessionCore;
  #last: Promise<unknown> = Promise.resolve();

  constructor(settings: CoreSettings) {
    this.#core = new SessionCore(settings);
  }

  send(request: Request): Promise<Reply> {
    const reply = this.#last.then(() => serve(this.#core, request));
    this.#last = reply;
    return reply;
  }

  async ended(): Promise<void> {
    await this.#last;
  }
}
