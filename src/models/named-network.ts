// The networks that a study file can name, and the options that each of them takes.

import { ConfigError } from '../base/index.ts';
import { ct1plus4, ctCnn, lipidMlp, vgg19 } from './case-networks.ts';
import type { Network } from './network.ts';

/** Options of a named network; one that is left out has the network's default, one that the network does not have is refused. */
export interface NetworkOptions {
  /** Columns of a record, of `lipid-mlp`; default 7. */
  readonly inputs?: number;
  /** 1 for grey images, 3 for colour. Default 1; 3 for the VGG networks. */
  readonly channels?: number;
  /** Height and width in pixels. Default 64; 224 for `vgg19`. */
  readonly size?: number;
  /** Logits; 1 stands for two classes. Default 2 for `ct-cnn`, else 1. */
  readonly classes?: number;
  /** Share of elements that dropout drops, 0 … 1, 1 not included. Default 0 for `ct-cnn`, 0.5 for `ct-1plus4`. */
  readonly dropout?: number;
}

/** What one option may be. `sizeOf` is the multiple that a size must be. */
type Range = 'count' | 'ratio' | { readonly sizeOf: number };

interface Entry {
  readonly defaults: NetworkOptions;
  readonly ranges: Readonly<Partial<Record<keyof NetworkOptions, Range>>>;
  make(options: Required<NetworkOptions>): Network;
}

const image = { channels: 'count', classes: 'count' } as const;

const networks: Readonly<Record<string, Entry>> = {
  'lipid-mlp': { defaults: { inputs: 7 }, ranges: { inputs: 'count' }, make: lipidMlp },
  'ct-cnn': {
    defaults: { channels: 1, size: 64, classes: 2, dropout: 0 },
    ranges: { ...image, size: { sizeOf: 8 }, dropout: 'ratio' },
    make: ctCnn,
  },
  'ct-1plus4': {
    defaults: { channels: 1, size: 64, classes: 1, dropout: 0.5 },
    ranges: { ...image, size: { sizeOf: 32 }, dropout: 'ratio' },
    make: ct1plus4,
  },
  vgg19: {
    defaults: { channels: 3, size: 224, classes: 1 },
    ranges: { ...image, size: { sizeOf: 32 } },
    make: (options) => vgg19({ ...options, name: 'vgg19', start: 'he' }),
  },
  'vgg19-64': {
    defaults: { channels: 3, size: 64, classes: 1 },
    ranges: image,
    make: (options) => vgg19({ ...options, name: 'vgg19-64', start: 'pytorch' }),
  },
};

/** The names that `namedNetwork` knows. */
export const networkNames: readonly string[] = Object.keys(networks);

/** The names of a named network's options; undefined when no network is called so. */
export function networkOptions(name: string): readonly string[] | undefined {
  const entry = Object.hasOwn(networks, name) ? networks[name] : undefined;
  return entry && Object.keys(entry.ranges);
}

/** A network by name. Throws ConfigError `unknown-network`, or `bad-study` with every option that is wrong. */
export function namedNetwork(name: string, options: NetworkOptions = {}): Network {
  const problems = networkProblems(name, options).map(({ text }) => text);
  const entry = Object.hasOwn(networks, name) ? networks[name] : undefined;
  if (!entry) throw new ConfigError('unknown-network', problems);
  if (problems.length > 0) throw new ConfigError('bad-study', problems);
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  return entry.make({ ...entry.defaults, ...given } as Required<NetworkOptions>);
}

/** What is wrong with a named network, and with which option of it; the name itself where no option is named. */
export interface NetworkProblem {
  readonly option?: string;
  readonly text: string;
}

/** Everything that is wrong with a name and its options; nothing is made. */
export function networkProblems(name: string, options: NetworkOptions = {}): NetworkProblem[] {
  const entry = Object.hasOwn(networks, name) ? networks[name] : undefined;
  if (!entry) {
    const list = networkNames.join(', ');
    return [{ text: `no network is called "${name}"; give one of ${list}, or a path to an .onnx file` }];
  }
  const problems: NetworkProblem[] = [];
  for (const [option, value] of Object.entries(options) as [keyof NetworkOptions, number | undefined][]) {
    if (value === undefined) continue;
    const range = entry.ranges[option];
    const problem = range
      ? rangeProblem(range, value)
      : `is not an option; it has ${Object.keys(entry.ranges).join(', ')}`;
    if (problem) problems.push({ option, text: `network ${name}: ${option} ${problem}` });
  }
  return problems;
}

function rangeProblem(range: Range, value: number): string | undefined {
  if (range === 'ratio') {
    return value >= 0 && value < 1 ? undefined : `is ${value}; expected a share from 0 to below 1`;
  }
  const multiple = range === 'count' ? 1 : range.sizeOf;
  if (Number.isSafeInteger(value) && value >= 1 && value % multiple === 0) return undefined;
  return `is ${value}; expected ${multiple === 1 ? 'an integer of 1 or more' : `a multiple of ${multiple}`}`;
}
