// The server of the load bench, in a process of its own: the real server on real WebSockets, and what it costs.

import { systemClock } from '../../dist/base/node/index.js';
import { openEngine } from '../../dist/engine/node/index.js';
import { StudyServer } from '../../dist/server/index.js';
import { listenWebSocket } from '../../dist/transport/node/index.js';
import { loadStudy } from './load-study.mjs';

const settings = JSON.parse(process.argv[2]);
const { training, idle } = settings;
const total = training + idle;
const { plan, study } = loadStudy(settings);
const engine = await openEngine({ placement: 'inline', threads: 1 });
const listener = await listenWebSocket({ connectionsMax: total + 64, connectionsPerAddressMax: total + 64, attemptsPerAddressMax: 2 * total }); // prettier-ignore
const order = [];
const stepsAtMs = [];
let connected = 0;
let idleBytes;
let cpuBefore;
process.on('disconnect', () => process.exit());

globalThis.gc?.();
await new Promise((resolve) => setTimeout(resolve, 500));
globalThis.gc?.();
const before = process.memoryUsage.rss();

const server = new StudyServer({
  plan,
  study,
  engine,
  listener,
  clock: systemClock,
  signal: new AbortController().signal,
  timeoutMs: 120_000,
  logOrder: async ({ site }) => void order.push(site),
  onEvent: (event) => {
    if (event.kind === 'listening') {
      process.send({ event: 'listening', url: event.address });
    }
    if (event.kind === 'refused') process.send({ event: 'refused', reason: event.reason });
    if (event.kind === 'site' && event.state !== 'left') {
      connected += event.state === 'connected' ? 1 : -1;
      process.send({ event: event.state, connected });
    }
    if (event.kind === 'counts') {
      // Every site is there and has said what it has.
      globalThis.gc?.();
      idleBytes = process.memoryUsage.rss() - before;
      cpuBefore = process.cpuUsage();
    }
    if (event.kind === 'step') stepsAtMs.push(performance.now());
  },
});
try {
  await server.run();
  const { user, system } = process.cpuUsage(cpuBefore);
  globalThis.gc?.();
  process.send({
    event: 'done',
    order,
    stepsAtMs,
    idleBytes,
    trainedBytes: process.memoryUsage.rss() - before,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    cpuMs: (user + system) / 1000,
  });
} catch (error) {
  process.send({ event: 'failed', message: `${error.code ?? ''} ${error.message}` });
}
await engine.close();
process.disconnect();
