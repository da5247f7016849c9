import { readFile } from 'node:fs/promises';
import { format } from 'prettier';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { caseNames, newStudy } from './new-study.ts';
import { studyJsonSchema } from './study-schema.ts';

describe('study.schema.json', () => {
  it('is what the schema of study files says; npm run schema writes it', async () => {
    const text = await format(JSON.stringify(studyJsonSchema()), { parser: 'json', printWidth: 120 });
    await expect(text).toMatchFileSnapshot('study.schema.json');
  });

  it('takes new study files, and refuses a key that is not known and a section that is missing', async () => {
    const text = await readFile(new URL('study.schema.json', import.meta.url), 'utf8');
    const schema = z.fromJSONSchema(JSON.parse(text) as Parameters<typeof z.fromJSONSchema>[0]);
    for (const name of caseNames) {
      const study = parse(newStudy(name)) as Record<string, Record<string, unknown>>;
      expect(schema.safeParse(study).success).toBe(true);
      expect(schema.safeParse({ ...study, training: { ...study['training'], bacth: 3 } }).success).toBe(false);
      const { data: _, ...rest } = study;
      expect(schema.safeParse(rest).success).toBe(false);
    }
  });

  it('describes every section', () => {
    const { properties } = studyJsonSchema() as { properties: Record<string, { description?: string }> };
    const silent = Object.entries(properties).filter(([, { description = '' }]) => description.length < 10);
    expect(silent.map(([name]) => name)).toEqual([]);
  });
});
