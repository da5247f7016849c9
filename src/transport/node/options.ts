// What a WebSocket end may be told, its defaults, and what `ws` is told in turn.

import type { ClientOptions } from 'ws';
import { ConfigError } from '../../base/index.ts';
import { defaultTransportLimits, type TransportLimits } from '../transport.ts';

export interface WebSocketOptions extends TransportLimits {
  /** How long the TCP connection and the WebSocket handshake may take together. */
  readonly handshakeTimeoutMs: number;
  /** How often each end pings; an end that hears nothing for three such times gives the connection up. */
  readonly heartbeatMs: number;
  /** How long `close` waits for the peer before it cuts the connection. */
  readonly closeTimeoutMs: number;
}

export const defaultWebSocketOptions: WebSocketOptions = {
  ...defaultTransportLimits,
  handshakeTimeoutMs: 10_000,
  heartbeatMs: 15_000,
  closeTimeoutMs: 5_000,
};

const largest = 2 ** 31 - 1;

/** The options with defaults. Throws ConfigError that names every one that is not a whole number from 1 to 2 147 483 647. */
export function completeOptions(options: Partial<WebSocketOptions>): WebSocketOptions {
  return wholeNumbers(defaultWebSocketOptions, options);
}

/** The numbers that have a default, as given or by default. Throws ConfigError that names every one out of range. */
export function wholeNumbers<T extends { readonly [key in keyof T]: number }>(defaults: T, given: Partial<T>): T {
  const keys = Object.keys(defaults) as (keyof T & string)[];
  const complete = { ...defaults };
  for (const key of keys) if (given[key] !== undefined) complete[key] = given[key];
  const problems = keys
    .filter((key) => !Number.isInteger(complete[key]) || complete[key] < 1 || complete[key] > largest)
    .map((key) => `${key} is ${complete[key]}, but must be a whole number from 1 to ${largest}`);
  if (problems.length > 0) throw new ConfigError('bad-usage', problems);
  return complete;
}

/** What both ends tell `ws`: no compression, and its own limits, which close the connection that passes them. */
export function wsOptions(options: WebSocketOptions): ClientOptions & { closeTimeout: number; maxFragments: number } {
  return {
    perMessageDeflate: false,
    maxPayload: options.frameBytesMax,
    maxFragments: 4096,
    closeTimeout: options.closeTimeoutMs,
  };
}
