// Sites of the load bench, many in one process, each with a real WebSocket and a session of its own. `--training`: real agents with real
// engines. `--idle`: sites that follow their script with zeros, which is one batch, and then wait for the epoch to end.

import { systemClock } from '../../dist/base/node/index.js';
import { openEngine } from '../../dist/engine/node/index.js';
import { decodeMessage, encodeMessage, hello, kindOfFrame, planHash, readPooled, Session, siteScript, unknownFacts } from '../../dist/protocol/index.js'; // prettier-ignore
import { SiteAgent } from '../../dist/site/index.js';
import { randomData } from '../../dist/study/run/random-data.js';
import { zeros } from '../../dist/tensor/index.js';
import { connectWebSocket } from '../../dist/transport/node/index.js';
import { loadStudy } from './load-study.mjs';

const settings = JSON.parse(process.argv[2]);
const { url, from, to, role } = settings;
const { plan, study, recordsOf } = loadStudy(settings);
const hash = planHash(plan);
const latenciesMs = [];
/** Handshakes at once: a thousand of them are no study's beginning. */
const connectingMost = 16;
process.on('disconnect', () => process.exit());

/** A site that trains. */
async function train(site) {
  const engine = await openEngine({ placement: 'inline', threads: 1 });
  const agent = new SiteAgent({
    plan,
    study,
    index: site,
    data: randomData(plan, site, recordsOf(site)),
    engine,
    connect: async (signal) => timed(await connectWebSocket(url, { signal })),
    clock: systemClock,
    signal: new AbortController().signal,
    timeoutMs: 120_000,
    onEvent: ({ kind, detail }) => kind === 'lost' && process.send({ event: 'site lost', detail }),
  });
  await agent.run();
  await engine.close();
}

/** The connection; how long a message of the site waits for its answer is noted. */
function timed(connection) {
  let sentMs;
  const noting = (send) => (frame, signal) => {
    if (kindOfFrame(frame[0]) === 'activations') sentMs = performance.now();
    return send.call(connection, frame, signal);
  };
  return new Proxy(connection, {
    get: (target, name) => {
      if (name === 'send' || name === 'trySend') return noting(target[name]);
      if (name === 'receive')
        return async (signal) => {
          const frame = await target.receive(signal);
          if (sentMs !== undefined) latenciesMs.push(performance.now() - sentMs);
          sentMs = undefined;
          return frame;
        };
      const value = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** A site that follows its script, and computes nothing. */
async function follow(site, onConnected) {
  const own = { train: recordsOf(site), val: 0, test: 0 };
  const facts = unknownFacts(plan);
  const session = new Session('site', siteScript(plan, site, facts));
  const connection = await connectWebSocket(url, { handshakeTimeoutMs: 60_000 });
  const next = async () => {
    const frame = await connection.receive();
    if (!frame) throw new Error(`site ${site}: the server closed the connection`);
    const message = decodeMessage(frame);
    if (message.kind === 'refuse') throw new Error(`site ${site} is refused: ${message.text}`);
    return message;
  };
  await connection.send(encodeMessage(hello(plan.sites[site], hash, 0, 'load')));
  await next();
  onConnected();
  for (let line = session.expected; line; line = session.expected) {
    if (line.direction === 'down') {
      const message = await next();
      if (message.kind === 'pooled') Object.assign(facts, readPooled(plan, message, site, own));
      session.accept(message);
      continue;
    }
    const tensors = Object.fromEntries(line.tensors.map(({ name, dtype, dims }) => [name, zeros(dtype, dims)]));
    if (line.kind === 'census') for (const name of ['counts', 'classes']) tensors[name].data[0] = own.train;
    await connection.send(encodeMessage(session.compose(line.kind, { tensors, scalars: Array(line.scalars).fill(0) })));
  }
  await connection.close();
}

/** Begins to follow; resolves when the site is connected. */
function connected(site, ends) {
  return new Promise((resolve, reject) => {
    const end = follow(site, resolve);
    end.catch(reject);
    ends.push(end);
  });
}

try {
  const waiting = Array.from({ length: to - from }, (_, index) => from + index);
  const ends = [];
  const connectAll = async () => {
    for (let site = waiting.shift(); site !== undefined; site = waiting.shift()) {
      if (role === 'training') ends.push(train(site));
      else await connected(site, ends);
    }
  };
  await Promise.all(Array.from({ length: connectingMost }, connectAll));
  await Promise.all(ends);
  process.send({ event: 'done', latenciesMs });
} catch (error) {
  process.send({ event: 'failed', message: `${error.code ?? ''} ${error.stack}` });
}
process.disconnect();
