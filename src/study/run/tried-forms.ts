// The lowered forms that a party has tried, kept beside its commits, so that a process that is started again does not try them again.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { TriedForms } from '../../engine/node/index.ts';
import { atomicWriteFile } from '../../store/node/index.ts';

const schema = z.strictObject({
  format: z.literal(1),
  tried: z.array(z.string().regex(/^[0-9a-f]{64}$/)),
});

/** As many are kept: more than a study has graphs, so that a few settings of threads have room. */
const keptMost = 64;

/** What is kept in `commits/NAME.tried` of a folder of state, which is there. What cannot be read is as if nothing was tried. */
export function openTriedForms(stateDir: string, name: string): TriedForms {
  const path = join(stateDir, 'commits', `${name}.tried`);
  const tried = new Set(existsSync(path) ? digestsIn(readFileSync(path, 'utf8')) : []);
  return {
    has: (digest) => tried.has(digest),
    add: async (digest) => {
      tried.add(digest);
      const kept = [...tried].slice(-keptMost);
      await atomicWriteFile(path, `${JSON.stringify({ format: 1, tried: kept })}\n`, { mode: 0o600 });
    },
  };
}

function digestsIn(text: string): readonly string[] {
  try {
    return schema.parse(JSON.parse(text)).tried;
  } catch {
    // It saves time and says nothing else: whatever is not known is tried again, and the file written anew.
    return [];
  }
}
