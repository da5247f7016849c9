// The engine's thread: takes requests in order, does one at a time, answers each. `session.run` blocks this thread and no other.

import { parentPort, workerData } from 'node:worker_threads';
import { assert } from '../../base/index.ts';
import { buffersOf } from './buffers.ts';
import { ExitGate } from './exit-gate.ts';
import type { Reply, Request, ThreadStart } from './messages.ts';
import { release } from './release.ts';
import { serve } from './serve.ts';
import { SessionCore } from './session-core.ts';

assert(parentPort, 'worker.ts runs in a worker thread');
const port = parentPort;
const { settings, gate } = workerData as ThreadStart;
const core = new SessionCore(settings, new ExitGate(gate));

port.on('message', (request: Request) => {
  const reply: Reply = serve(core, request);
  port.postMessage(reply, reply.ok ? buffersOf(reply.results) : []);
  // The fed tensors came with buffers of their own; nothing reads them any more.
  const fed =
    request.kind === 'run' ? request.orders.map(({ feeds }) => feeds) : request.kind === 'add' ? [request.rows] : [];
  for (const tensors of fed) for (const value of Object.values(tensors)) release(value.data);
  if (request.kind === 'close') port.close();
});
