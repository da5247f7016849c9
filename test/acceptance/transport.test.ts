import { createMemoryListener } from '../../src/transport/index.ts';
import { connectWebSocket, listenWebSocket } from '../../src/transport/node/index.ts';
import { transportSuite } from './transport-suite.ts';

transportSuite('memory', {
  listen: async (options) => {
    const listener = createMemoryListener(options);
    return { listener, connect: () => listener.connect() };
  },
});

transportSuite('WebSocket', {
  listen: async (options) => {
    const { connectionsMax: _connectionsMax, ...limits } = options;
    const listener = await listenWebSocket({ ...options, closeTimeoutMs: 500 });
    return { listener, connect: () => connectWebSocket(listener.address, { ...limits, closeTimeoutMs: 500 }) };
  },
});
