// What one address may ask of a listener before anyone knows who is there: so many connections at once, and so many attempts over time,
// as a bucket of tokens that fills again. A peer that turns out to be known gets its token back, so sites that share an address behind a
// NAT pay only for those of them that are turned away.

export interface AddressLimits {
  /** TCP connections open at once from one address. Default 256. */
  readonly connectionsPerAddressMax: number;
  /** Attempts that an address may make at once. Default 512. */
  readonly attemptsPerAddressMax: number;
  /** Attempts that it gets back each second. Default 16. */
  readonly attemptsPerAddressPerSecond: number;
}

export const defaultAddressLimits: AddressLimits = {
  connectionsPerAddressMax: 256,
  attemptsPerAddressMax: 512,
  attemptsPerAddressPerSecond: 16,
};

/** An address whose connections were cut off at once, for an operator to see. */
export interface TurnedAway {
  readonly address: string;
  readonly reason: string;
  /** Connections of this address that were turned away since this was told last. */
  readonly times: number;
}

/** One connection of an address. */
export interface Visit {
  /** The peer is known: its attempt does not count. */
  readonly known: () => void;
  readonly leave: () => void;
}

interface Entry {
  open: number;
  tokens: number;
  filledAtMs: number;
  turnedAway: number;
  toldAtMs: number;
}

/** Addresses that are remembered. To forget one gives it its attempts back, and nothing else. */
const addressesMost = 10_000;
/** An address that is turned away is told of at most once in so long: what is told of ends in logs. */
const toldEveryMs = 10_000;

export class Addresses {
  readonly #limits: AddressLimits;
  readonly #onTurnedAway: (event: TurnedAway) => void;
  readonly #nowMs: () => number;
  readonly #entries = new Map<string, Entry>();

  constructor(limits: AddressLimits, onTurnedAway: (event: TurnedAway) => void, nowMs: () => number) {
    this.#limits = limits;
    this.#onTurnedAway = onTurnedAway;
    this.#nowMs = nowMs;
  }

  /** Addresses that are remembered. */
  get count(): number {
    return this.#entries.size;
  }

  /** Lets a connection in, or not: undefined. */
  enter(remoteAddress: string): Visit | undefined {
    const { connectionsPerAddressMax, attemptsPerAddressMax } = this.#limits;
    const address = networkOf(remoteAddress);
    const entry = this.#entryOf(address);
    if (entry.open >= connectionsPerAddressMax)
      return this.#turnAway(address, entry, `${connectionsPerAddressMax} connections are open already`);
    if (entry.tokens < 1) return this.#turnAway(address, entry, 'too many attempts by peers that are not known');
    entry.tokens -= 1;
    entry.open += 1;
    let isKnown = false;
    let isHere = true;
    return {
      known: () => {
        if (!isKnown) entry.tokens = Math.min(attemptsPerAddressMax, entry.tokens + 1);
        isKnown = true;
      },
      leave: () => {
        if (isHere) entry.open -= 1;
        isHere = false;
      },
    };
  }

  #entryOf(address: string): Entry {
    const { attemptsPerAddressMax, attemptsPerAddressPerSecond } = this.#limits;
    const nowMs = this.#nowMs();
    const known = this.#entries.get(address);
    if (known) {
      const filled = known.tokens + ((nowMs - known.filledAtMs) / 1000) * attemptsPerAddressPerSecond;
      known.tokens = Math.min(attemptsPerAddressMax, filled);
      known.filledAtMs = nowMs;
      return known;
    }
    if (this.#entries.size >= addressesMost) this.#forgetOne();
    const entry = {
      open: 0,
      tokens: attemptsPerAddressMax,
      filledAtMs: nowMs,
      turnedAway: 0,
      toldAtMs: Number.NEGATIVE_INFINITY,
    };
    this.#entries.set(address, entry);
    return entry;
  }

  /** The first that has no connection: those with one are as few as the listener's connections. */
  #forgetOne(): void {
    for (const [address, { open }] of this.#entries) {
      if (open > 0) continue;
      this.#entries.delete(address);
      return;
    }
  }

  #turnAway(address: string, entry: Entry, reason: string): undefined {
    const nowMs = this.#nowMs();
    entry.turnedAway += 1;
    if (nowMs - entry.toldAtMs < toldEveryMs) return;
    this.#onTurnedAway({ address, reason, times: entry.turnedAway });
    entry.turnedAway = 0;
    entry.toldAtMs = nowMs;
  }
}

/** What counts as one address: of IPv6 the first 64 bits, which is what one subscriber has. */
export function networkOf(remoteAddress: string): string {
  const plain = remoteAddress.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
  if (!plain.includes(':')) return plain;
  const [head = '', tail = ''] = plain.split('::');
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const before = groups(head);
  const after = plain.includes('::') ? groups(tail) : [];
  const zeros = Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => '0');
  const all = plain.includes('::') ? [...before, ...zeros, ...after] : before;
  return `${all
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, '').toLowerCase())
    .join(':')}::/64`;
}
