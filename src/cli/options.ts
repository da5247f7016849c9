// What options mean, shared by the commands. A value that is not understood is bad usage.

import { InvalidArgumentError, Option } from 'commander';
import { providers } from '../engine/index.ts';

export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most)
      throw new InvalidArgumentError(`expected a whole number of ${least} or more`);
    return value;
  };
}

/** `7:2:1` */
export function ratio(text: string): number[] {
  if (!/^[1-9]\d{0,8}(:[1-9]\d{0,8})*$/.test(text))
    throw new InvalidArgumentError('expected whole numbers with colons between, like 7:2:1');
  return text.split(':').map(Number);
}

/** Seconds as milliseconds. */
export function seconds(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1e6)) throw new InvalidArgumentError('expected a number of seconds above 0');
  return value * 1000;
}

/** `HOST:PORT` or `[IPv6]:PORT`; the port 0 takes a free one. */
export function hostAndPort(text: string): { host: string; port: number } {
  const found = /^(\[[0-9a-fA-F:.]+\]|[^:[\]]+):(\d{1,5})$/.exec(text);
  const port = Number(found?.[2]);
  if (!found?.[1] || port > 65_535) throw new InvalidArgumentError('expected HOST:PORT, like 127.0.0.1:7700');
  return { host: found[1], port };
}

/** `HOST:PORT`, as a site is to call it. */
export function address(text: string): string {
  const { host, port } = hostAndPort(text);
  if (port === 0 || !/^[[\]0-9a-z:._-]+$/i.test(host))
    throw new InvalidArgumentError('expected HOST:PORT, like study.example.org:443');
  return text;
}

/** Hours, from a minute to ten years. */
export function hours(text: string): number {
  const value = Number(text);
  if (!(value >= 1 / 60 && value <= 87_600)) throw new InvalidArgumentError('expected a number of hours, like 72');
  return value;
}

/** What computes; the default is the CPU, on which graphs are lowered. */
export function providerOption(): Option {
  return new Option('--provider <name>', 'ONNX Runtime’s execution provider (default: cpu)').choices(providers);
}
