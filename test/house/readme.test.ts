// What the README shows is what is tested: test/e2e/package.test.ts runs examples/api.mjs from the packed package.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { allocatorEnvironment } from '../../src/engine/node/index.ts';
import { choiceValues } from '../../src/protocol/index.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string): string => readFileSync(`${root}${path}`, 'utf8');

it('the README’s program is the first part of examples/api.mjs, byte for byte', () => {
  const [, shown = ''] = /```js\n([^]*?)```/.exec(read('README.md')) ?? [];
  expect(shown).toContain('runStudy');
  expect(shown).toContain('predict');
  expect(read('examples/api.mjs')).toContain(shown);
});

it('the README’s path of the schema is the one that the package exports', () => {
  const { exports: exported } = JSON.parse(read('package.json')) as { exports: Record<string, unknown> };
  const path = String(exported['./study.schema.json']).slice(2);
  expect(read('README.md')).toContain(`$schema=./node_modules/septum/${path}`);
});

it('every choice and each of its values is described where the glossary says', () => {
  expect(read('docs/GLOSSARY.md')).toContain('(PROTOCOL.md#the-choices)');
  const [, section = ''] = /\n## The choices\n([^]*?)\n## /.exec(read('docs/PROTOCOL.md')) ?? [];
  for (const [choice, values] of Object.entries(choiceValues))
    for (const word of [choice, ...values]) expect(section).toMatch(new RegExp(`\\b${word}\\b`));
});

it('operators are told of the allocator’s settings that a run gives its processes', () => {
  const settings = Object.entries(allocatorEnvironment).map(([name, value]) => `${name}=${value}`);
  expect(read('docs/OPERATIONS.md')).toContain(`Environment=${settings.join(' ')}\n`);
});
