// The server or one site of a test's study as a process of its own (processes.ts starts it): the real agent, engine in its worker
// thread, and WebSockets on loopback. It tells its parent what happens over the channel that `fork` gives it.

import { setMaxListeners } from 'node:events';
import { systemClock } from '../../src/base/node/index.ts';
import { openEngine } from '../../src/engine/node/index.ts';
import { type ServerEvent, type ServerResult, StudyServer } from '../../src/server/index.ts';
import { SiteAgent, type SiteEvent, type SiteResult } from '../../src/site/index.ts';
import { openFileActivationStore } from '../../src/store/node/index.ts';
import { connectWebSocket, listenWebSocket } from '../../src/transport/node/index.ts';
import { planStudy, secretSeedOf, type TestStudy } from '../harness/study.ts';

/** What a process is to be. */
export type Role =
  | { readonly role: 'server'; readonly test: TestStudy; readonly activationsDir: string }
  | { readonly role: 'site'; readonly test: TestStudy; readonly index: number; readonly address: string };

/** What it tells. */
export type Told =
  | { readonly kind: 'listening'; readonly address: string }
  | { readonly kind: 'server-event'; readonly event: ServerEvent }
  | { readonly kind: 'site-event'; readonly event: SiteEvent }
  | { readonly kind: 'server-result'; readonly result: ServerResult }
  | { readonly kind: 'site-result'; readonly result: SiteResult };

const timeoutMs = 30_000;
const { signal } = new AbortController();
setMaxListeners(0, signal);

process.once('message', (role: Role) => {
  (role.role === 'server' ? serve(role) : takePart(role)).then(
    () => process.disconnect(),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});

async function serve({ test, activationsDir }: Role & { role: 'server' }): Promise<void> {
  const { plan, study } = planStudy(test);
  await using engine = await openEngine({ threads: 1 });
  const listener = await listenWebSocket({ port: 0 });
  const detached = plan.choices.when === 'detached';
  await using activations = await openFileActivationStore(activationsDir, plan.network.cutDims);
  await tell({ kind: 'listening', address: listener.address });
  const server = new StudyServer({
    plan,
    study,
    engine,
    listener,
    clock: systemClock,
    signal,
    timeoutMs,
    ...(detached ? { activations } : {}),
    onEvent: (event) => void tell({ kind: 'server-event', event }),
  });
  await tell({ kind: 'server-result', result: await server.run() });
}

async function takePart({ test, index, address }: Role & { role: 'site' }): Promise<void> {
  const { plan, study, data } = planStudy(test);
  await using engine = await openEngine({ threads: 1 });
  const agent = new SiteAgent({
    plan,
    study,
    index,
    data: data[index]!,
    engine,
    connect: () => connectWebSocket(address, { signal }),
    clock: systemClock,
    signal,
    timeoutMs,
    secretSeed: secretSeedOf(index),
    onEvent: (event) => void tell({ kind: 'site-event', event }),
  });
  await tell({ kind: 'site-result', result: await agent.run() });
}

/** Resolves when the parent's channel has taken it. */
function tell(told: Told): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send!(told, (error: Error | null) => (error ? reject(error) : resolve()));
  });
}
