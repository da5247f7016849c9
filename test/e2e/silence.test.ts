// A process that computes speaks with nobody but its server. ONNX Runtime would: without what the engine tells it, its first attempt comes
// about 10 s after its first session.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const built = pathToFileURL(join(import.meta.dirname, '../../dist/engine/node/index.js')).href;

it.each(['worker', 'inline'])('an engine (%s) opens no connection', { timeout: 120_000 }, async (placement) => {
  const asked: (string | undefined)[] = [];
  const proxy = createServer().on('connect', ({ url }, socket) => {
    asked.push(url);
    socket.end('HTTP/1.1 403 Forbidden\r\n\r\n');
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  const script = `
    const { openEngine } = await import(${JSON.stringify(built)});
    const engine = await openEngine({ placement: ${JSON.stringify(placement)}, threads: 1 });
    setTimeout(() => engine.close(), 20_000);`;
  const { ORT_DISABLE_TELEMETRY: _unset, ...env } = process.env;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: 'inherit',
    env: { ...env, HTTPS_PROXY: url, https_proxy: url },
  });
  expect((await once(child, 'exit'))[0]).toBe(0);
  proxy.close();
  expect(asked).toEqual([]);
});
