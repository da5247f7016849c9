// Who may import whom: docs say "rooms and doors". A room is a folder of src/, its door is its index.ts.
// These rules are checked on text, so that a file that does not compile is checked too.

import { posix } from 'node:path';

const ground = ['base', 'tensor'];
const graphs = [...ground, 'onnx'];
const sides = [
  ...graphs,
  'metrics',
  'autodiff',
  'models',
  'split',
  'engine',
  'store',
  'privacy',
  'protocol',
  'transport',
];
const wholes = [...sides, 'lower', 'data', 'site', 'server'];

/** Every room and the rooms it may import from. */
export const rooms: Readonly<Record<string, readonly string[]>> = {
  base: [],
  tensor: ['base'],
  metrics: ground,
  transport: ground,
  store: ground,
  protocol: ground,
  onnx: ground,
  autodiff: graphs,
  models: graphs,
  lower: graphs,
  engine: [...graphs, 'lower'],
  split: [...graphs, 'autodiff', 'models', 'protocol'],
  privacy: [...graphs, 'metrics', 'autodiff', 'engine'],
  data: [...ground, 'protocol'],
  site: [...sides, 'data'],
  server: sides,
  study: wholes,
  cli: [...wholes, 'study'],
};

/** Rooms that put the others together: they may enter a room's `node/` folder as well, through its index.ts, and use Node freely. */
const composing: readonly string[] = ['study', 'cli'];

/** The module specifiers of a TypeScript source: static, re-exported, side-effect and dynamic imports. */
export function importsOf(source: string): string[] {
  const withoutComments = source.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '$1');
  const statements = /(?:\bfrom\s*|\bimport\s*\(\s*|(?:^|;)\s*import\s+)(['"])([^'"\n]+)\1/gm;
  return [...withoutComments.matchAll(statements)].map((match) => match[2] ?? '');
}

/** What is wrong with the imports of `file`, a path from the repository's root such as `src/models/network.ts`; empty when all is well. */
export function roomProblems(file: string, source: string): string[] {
  const [top, room = ''] = file.split('/');
  const isTest = file.endsWith('.test.ts');
  if (top !== 'src') return [];
  const inRoot = !file.includes('/', 4);
  if (!inRoot && rooms[room] === undefined)
    return [`${file}: src/${room} is not a room; add it to STYLE.md's table first`];
  const problems: string[] = [];
  for (const specifier of importsOf(source)) {
    const wrong = specifier.startsWith('.')
      ? relativeProblem(file, inRoot ? '' : room, isTest, specifier)
      : packageProblem(file, inRoot ? '' : room, isTest, specifier);
    if (wrong) problems.push(`${file}: imports "${specifier}": ${wrong}`);
  }
  return problems;
}

function relativeProblem(file: string, room: string, isTest: boolean, specifier: string): string | undefined {
  const target = posix.join(posix.dirname(file), specifier);
  if (!/\.(ts|json)$/.test(specifier)) return 'an import path ends in .ts';
  if (!target.startsWith('src/')) return isTest ? undefined : 'code in src imports nothing outside src';
  const [, targetRoom = '', ...rest] = target.split('/');
  const door = rest.join('/');
  if (door === '') return 'src/index.ts is for users of the package';
  if (targetRoom === room) {
    const upward = specifier === './index.ts' || /^(\.\.\/)+index\.ts$/.test(specifier);
    return upward && !isTest ? 'inside a folder never through its own index.ts' : undefined;
  }
  const composes = room === '' || isTest || composing.includes(room);
  const isDoor = door === 'index.ts' || (composes && /^(node|web)\/index\.ts$/.test(door));
  if (!isDoor) return `into a sibling folder only through its index.ts`;
  if (room !== '' && !isTest && !rooms[room]?.includes(targetRoom))
    return `src/${room} may not import src/${targetRoom}`;
  return undefined;
}

function packageProblem(file: string, room: string, isTest: boolean, specifier: string): string | undefined {
  if (specifier.startsWith('onnxruntime-node') && !isTest && !file.startsWith('src/engine/node/'))
    return 'only src/engine/node runs ONNX Runtime';
  const portable = room !== '' && !isTest && !composing.includes(room) && !/\/(node|web)\//.test(file);
  if (portable && specifier.startsWith('node:'))
    return 'code outside node/ folders is portable and imports nothing of Node';
  return undefined;
}
