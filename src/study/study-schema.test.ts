import { format } from 'prettier';
import { describe, expect, it } from 'vitest';
import { studyJsonSchema } from './study-schema.ts';

describe('study.schema.json', () => {
  it('is what the schema of study files says; npm run schema writes it', async () => {
    const text = await format(JSON.stringify(studyJsonSchema()), { parser: 'json', printWidth: 120 });
    await expect(text).toMatchFileSnapshot('study.schema.json');
  });

  it('describes every section', () => {
    const { properties } = studyJsonSchema() as { properties: Record<string, { description?: string }> };
    const silent = Object.entries(properties).filter(([, { description = '' }]) => description.length < 10);
    expect(silent.map(([name]) => name)).toEqual([]);
  });
});
