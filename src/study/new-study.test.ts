import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { methods } from '../protocol/index.ts';
import { type CaseName, caseNames, newStudy } from './new-study.ts';
import { planOf } from './planned-study.ts';
import { parseStudy } from './study-file.ts';

describe('newStudy', () => {
  it.each(caseNames.flatMap((name) => methods.map((method) => [name, method] as const)))(
    '%s with %s is a study with a plan',
    (name, method) => {
      const study = parseStudy(newStudy(name, method), 'study.yaml');
      const { plan } = planOf(study);
      expect(study.method).toBe(method);
      expect(plan.sites).toEqual(['site-1', 'site-2', 'site-3']);
      expect(study.sites.ratio).toEqual([7, 2, 1]);
    },
  );

  const examples: [string, CaseName, 'septum' | 'detached'][] = [
    ['covid-ct', 'covid-ct', 'septum'],
    ['covid-ct-detached', 'covid-ct', 'detached'],
    ['bone-xray', 'bone-xray', 'septum'],
    ['bone-xray-detached', 'bone-xray', 'detached'],
    ['cholesterol', 'cholesterol', 'septum'],
  ];
  it.each(examples)('examples/%s.yaml is what it writes', async (file, name, method) => {
    const example = await readFile(new URL(`../../examples/${file}.yaml`, import.meta.url), 'utf8');
    expect(example).toBe(newStudy(name, method));
  });
});
