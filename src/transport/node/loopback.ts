// Without TLS and proof of who speaks, server and sites speak on this machine only.

import { isIP } from 'node:net';
import { ConfigError } from '../../base/index.ts';

/** Whether an IP address, as Node writes it, is this machine's own. */
export function isLoopbackAddress(address: string | undefined): boolean {
  if (address === undefined) return false;
  const plain = address.replace(/^::ffff:/i, '');
  return plain === '::1' || (isIP(plain) === 4 && plain.startsWith('127.'));
}

/** Throws ConfigError unless `host` names this machine. */
export function requireLoopback(host: string): void {
  const bare = host.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  if (bare === 'localhost' || isLoopbackAddress(bare)) return;
  throw new ConfigError(
    'bad-usage',
    `host "${host}" is not this machine: without TLS and enrolled sites, server and sites speak on loopback only; use 127.0.0.1`,
  );
}
