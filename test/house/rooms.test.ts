import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { importsOf, roomProblems, rooms } from './room-rules.ts';

const root = new URL('../../', import.meta.url);

describe('rooms', () => {
  it('every import goes through a door that its room may use', () => {
    const files = readdirSync(new URL('src', root), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => `src/${path}`);
    expect(files.length).toBeGreaterThan(5);
    expect(files.flatMap((file) => roomProblems(file, readFileSync(new URL(file, root), 'utf8')))).toEqual([]);
  });

  it('the server room may import neither data nor site', () => {
    expect(rooms['server']).not.toContain('data');
    expect(rooms['server']).not.toContain('site');
  });

  it.each([
    ['src/server/x.ts', `import { a } from '../data/index.ts';`, 'src/server may not import src/data'],
    ['src/server/deep/x.ts', `import type { A } from '../../site/index.ts';`, 'src/server may not import src/site'],
    ['src/server/x.ts', `const site = await import('../site/index.ts');`, 'src/server may not import src/site'],
    ['src/base/x.ts', `export * from '../tensor/index.ts';`, 'src/base may not import src/tensor'],
    ['src/models/x.ts', `import {\n  a,\n  b,\n} from '../onnx/graph.ts';`, 'only through its index.ts'],
    ['src/models/x.ts', `import { a } from './index.ts';`, 'never through its own index.ts'],
    ['src/onnx/infer/x.ts', `import { a } from '../index.ts';`, 'never through its own index.ts'],
    ['src/site/x.ts', `import { a } from '../engine/node/index.ts';`, 'only through its index.ts'],
    ['src/models/x.ts', `import { a } from './network.js';`, 'ends in .ts'],
    ['src/models/x.ts', `import { a } from '../../test/interpreter/index.ts';`, 'nothing outside src'],
    ['src/study/x.ts', `import * as ort from 'onnxruntime-node';`, 'only src/engine/node'],
    ['src/split/x.ts', `import { readFile } from 'node:fs/promises';`, 'portable'],
    ['src/split/x.ts', `import 'node:fs';`, 'portable'],
    ['src/cli/x.ts', `import { a } from '../index.ts';`, 'for users of the package'],
    ['src/misc/x.ts', ``, 'not a room'],
  ])('%s with %j is refused', (file, source, reason) => {
    expect(roomProblems(file, source).join()).toContain(reason);
  });

  it.each([
    ['src/models/x.ts', `import { a } from '../onnx/index.ts';\nimport { b } from './network.ts';`],
    ['src/onnx/builder.ts', `import { inferNode } from './infer/index.ts';`],
    ['src/cli/x.ts', `import { a } from '../engine/node/index.ts';\nimport { b } from 'node:fs';`],
    ['src/engine/node/x.ts', `import { a } from '../engine.ts';\nimport * as ort from 'onnxruntime-node';`],
    ['src/models/x.test.ts', `import { a } from '../../test/interpreter/index.ts';`],
    ['src/onnx/x.test.ts', `import ort from 'onnxruntime-node';`],
    ['src/server/x.ts', `// not imported: from '../data/index.ts'\n/* import('../site/index.ts') */`],
  ])('%s with %j is allowed', (file, source) => {
    expect(roomProblems(file, source)).toEqual([]);
  });

  it('finds every form of import', () => {
    const source = `import a from 'a';\nimport 'b';\nexport { c } from "c";\nexport * from 'd';\nawait import('e');`;
    expect(importsOf(source)).toEqual(['a', 'b', 'c', 'd', 'e']);
  });
});
