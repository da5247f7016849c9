import { describe, expect, test } from 'vitest';
import { proxyFor } from './proxy.ts';

const server = 'wss://study.example.org:443';
const env = { HTTPS_PROXY: 'http://proxy.local:3128' };

describe('the proxy on the way to a server', () => {
  test('is the one that was named, else the environment’s, else none', () => {
    expect(proxyFor(server, 'http://other.local:8080', env)?.host).toBe('other.local:8080');
    expect(proxyFor(server, undefined, env)?.host).toBe('proxy.local:3128');
    expect(proxyFor(server, undefined, { https_proxy: 'http://small.local:1' })?.host).toBe('small.local:1');
    expect(proxyFor(server, undefined, {})).toBeUndefined();
    expect(proxyFor('ws://127.0.0.1:1', 'http://other.local:8080', env)).toBeUndefined();
  });

  test.each(['*', 'study.example.org', 'example.org', '.example.org', 'x, *.EXAMPLE.org ,y'])(
    'is not taken for a server that NO_PROXY spares: %s',
    (spared) => {
      expect(proxyFor(server, undefined, { ...env, NO_PROXY: spared })).toBeUndefined();
    },
  );

  test.each(['', 'ample.org', 'org.example', 'study'])('is taken for one that it does not: %j', (spared) => {
    expect(proxyFor(server, undefined, { ...env, NO_PROXY: spared })).toBeDefined();
  });

  test.each(['proxy.local:3128', 'socks5://proxy.local', 'http://', 'http://a:secret%zz@proxy.local'])(
    'is refused without being quoted: %s',
    (wrong) => {
      expect(() => proxyFor(server, wrong)).toThrow(/^the proxy’s address: expected http:\/\/HOST:PORT$/);
    },
  );
});
