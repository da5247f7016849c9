// How often each address has tried to come in and could not. One that does so again and again is heard no more for a while: it costs no
// handshake, and no line of the log.

import { isIPv6 } from 'node:net';
import type { Clock } from '../../base/index.ts';

export interface AttemptsLimits {
  /** Failed attempts within `withinMs` from which on an address is shut out. */
  readonly most: number;
  /** Counted from the first of them; then the count begins anew. */
  readonly withinMs: number;
  /** Addresses that are remembered; beyond that the one that began first is forgotten. */
  readonly addressesMost: number;
}

const usual: AttemptsLimits = { most: 30, withinMs: 60_000, addressesMost: 4096 };

export class Attempts {
  readonly #clock: Clock;
  readonly #limits: AttemptsLimits;
  readonly #failed = new Map<string, { readonly sinceMs: number; count: number }>();

  constructor(clock: Clock, limits: Partial<AttemptsLimits> = {}) {
    this.#clock = clock;
    this.#limits = { ...usual, ...limits };
  }

  /** Whether the address is heard. */
  allows(address: string): boolean {
    return (this.#count(networkOf(address))?.count ?? 0) < this.#limits.most;
  }

  /** Notes an attempt that failed. Gives true when it is the one that shuts the address out. */
  failed(address: string): boolean {
    const network = networkOf(address);
    const known = this.#count(network);
    if (known) return (known.count += 1) === this.#limits.most;
    this.#failed.delete(network);
    this.#failed.set(network, { sinceMs: this.#clock.nowMs(), count: 1 });
    for (const oldest of this.#failed.keys()) {
      if (this.#failed.size <= this.#limits.addressesMost) break;
      this.#failed.delete(oldest);
    }
    return this.#limits.most === 1;
  }

  #count(network: string) {
    const known = this.#failed.get(network);
    return known && this.#clock.nowMs() - known.sinceMs < this.#limits.withinMs ? known : undefined;
  }
}

/** An IPv4 address as it is; of an IPv6 address the 64 bits of its network, because whoever has one has them all. */
function networkOf(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
  if (!isIPv6(plain)) return plain;
  const [head = '', tail] = plain.split('::');
  const groups = (text: string): string[] => text.split(':').filter((group) => group !== '');
  const zeros = tail === undefined ? 0 : 8 - groups(head).length - groups(tail).length;
  const all = [...groups(head), ...new Array<string>(zeros).fill('0'), ...groups(tail ?? '')];
  return all
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16))
    .join(':');
}
