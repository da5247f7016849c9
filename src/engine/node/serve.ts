// One request to the core, done and answered. Shared by the engine's thread and InlineEngine, so that both behave alike.

import { EngineError, messageOf } from '../../base/index.ts';
import type { Reply, Request, Tensors } from './messages.ts';
import type { SessionCore } from './session-core.ts';

/** Does what is asked. Never throws: what goes wrong is in the reply. */
export function serve(core: SessionCore, request: Request): Reply {
  try {
    if (request.kind === 'load') return { ok: true, results: [], refusal: core.load(request.file) };
    return { ok: true, results: perform(core, request) };
  } catch (error) {
    const code = error instanceof EngineError ? (error.code as 'run-failed') : 'run-failed';
    const cause = error instanceof EngineError && error.cause !== undefined ? messageOf(error.cause) : undefined;
    return { ok: false, code, message: messageOf(error), cause };
  }
}

function perform(core: SessionCore, request: Exclude<Request, { readonly kind: 'load' }>): readonly Tensors[] {
  switch (request.kind) {
    case 'unload':
      core.unload(request.graphId, request.graphName);
      return [];
    case 'put':
      core.put(request.tensors);
      return [];
    case 'get':
      return [core.get(request.names)];
    case 'drop':
      core.drop(request.names);
      return [];
    case 'run':
      return request.orders.map((order) => core.run(order));
    case 'load-units':
      core.loadUnits(request.file);
      return [];
    case 'begin':
      core.begin(request.runId, request.order);
      return [];
    case 'add':
      return [core.add(request.runId, request.rows, request.fetch)];
    case 'sums':
      return [core.takeSums(request.runId)];
    case 'end': {
      const fetched = core.end(request.runId, request.sums);
      return [fetched, core.get(request.share)];
    }
    case 'end-profile':
      core.endProfile();
      return [];
    case 'close':
      core.close();
      return [];
  }
}
