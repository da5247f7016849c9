import { generateKeyPairSync } from 'node:crypto';
import { createMemoryListener } from '../../src/transport/index.ts';
import {
  type Certificate,
  connectWebSocket,
  listenWebSocket,
  makeCertificate,
} from '../../src/transport/node/index.ts';
import { transportSuite } from './transport-suite.ts';

transportSuite('memory', {
  listen: async (options) => {
    const listener = createMemoryListener(options);
    return { listener, connect: () => listener.connect() };
  },
});

const certificate = makeCertificate(generateKeyPairSync('ed25519').privateKey, Date.now(), 3_600_000);
const secured: readonly [string, Certificate | undefined][] = [
  ['WebSocket', undefined],
  ['WebSocket over TLS', certificate],
];
for (const [name, tls] of secured)
  transportSuite(name, {
    listen: async (options) => {
      const { connectionsMax: _connectionsMax, ...limits } = options;
      const listener = await listenWebSocket({ ...options, closeTimeoutMs: 500, ...(tls && { tls }) });
      return { listener, connect: () => connectWebSocket(listener.address, { ...limits, closeTimeoutMs: 500 }) };
    },
  });
