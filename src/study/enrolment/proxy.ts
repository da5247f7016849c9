// Which HTTP proxy is on the way to a server: the one that was named, or the environment's HTTPS_PROXY, unless its NO_PROXY names the server.

import { proxyUrl } from '../../transport/node/index.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The proxy for `url`; undefined: straight. Throws ConfigError for an address of a proxy that is none. */
export function proxyFor(
  url: string,
  named: string | undefined,
  environment: Environment = process.env,
): URL | undefined {
  const { protocol, hostname } = new URL(url);
  if (protocol !== 'wss:') return undefined;
  if (named !== undefined) return proxyUrl(named);
  const found = environment['HTTPS_PROXY'] || environment['https_proxy'];
  const spared = (environment['NO_PROXY'] || environment['no_proxy'] || '').split(',').map((name) => name.trim());
  if (!found || spared.some((name) => isSpared(hostname, name))) return undefined;
  return proxyUrl(found);
}

/** `*`, a host's name or address, or a domain whose hosts are meant as well. */
function isSpared(hostname: string, name: string): boolean {
  if (name === '') return false;
  const host = hostname.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  const domain = name.replace(/^\*?\./, '').toLowerCase();
  return name === '*' || host === domain || host.endsWith(`.${domain}`);
}
