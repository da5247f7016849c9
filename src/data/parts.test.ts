import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { partNames, partOfGroup } from './parts.ts';
import { groupOfPath } from './path-pattern.ts';

const fractions = { train: 0.7, val: 0.15, test: 0.15 };

describe('the part of a group', () => {
  it('is its hash with the study seed, held against the fractions', () => {
    for (const group of ['g001', 'patient Ä', '']) {
      const digest = createHash('sha256').update(`7\n${group}`).digest();
      const u = digest.readUIntBE(0, 6) / 2 ** 48;
      expect(partOfGroup(7, group, fractions)).toBe(u < 0.7 ? 'train' : u < 0.85 ? 'val' : 'test');
    }
  });

  it('takes the declared shares, and another seed another choice', () => {
    const of = (seed: number) => Array.from({ length: 4000 }, (_, index) => partOfGroup(seed, `g${index}`, fractions));
    const first = of(1);
    expect(first.filter((part) => part === 'train').length / 4000).toBeCloseTo(0.7, 1);
    expect(first.filter((part) => part === 'val').length / 4000).toBeCloseTo(0.15, 1);
    expect(of(2)).not.toEqual(first);
  });

  it('is never one whose share is zero', () => {
    const of = (shares: typeof fractions) =>
      new Set(Array.from({ length: 500 }, (_, index) => partOfGroup(1, `g${index}`, shares)));
    expect([...of({ train: 0.9, val: 0.1, test: 0 })].toSorted()).toEqual(['train', 'val']);
    expect([...of({ train: 0, val: 0, test: 1 })]).toEqual(['test']);
    expect([...of({ train: 1, val: 0, test: 0 })]).toEqual(['train']);
  });

  it('may be named in several ways', () => {
    const names = partNames({ train: ['train', 'A'], val: ['valid'], test: ['test'] });
    expect([names.get('A'), names.get('valid'), names.get('other')]).toEqual(['train', 'val', undefined]);
  });
});

describe('a group pattern', () => {
  it.each([
    ['images/{group}_*.png', 'images/p12_3.png', 'p12'],
    ['{group}/*', 'p12/a/b.png', 'p12'],
    ['*/*/{group}/*', 'train/XR_WRIST/patient00001/study1/image1.png', 'patient00001'],
    ['images/{group}L.png', 'images/9000099L.png', '9000099'],
    ['images/{group}', 'images/a.png', 'a.png'],
    ['images/{group}_*.png', 'other/p12_3.png', null],
    ['images/{group}_*.png', 'images/p12.png', null],
    ['{group}.png', 'a/b.png', null],
    ['{group}_*', '_x', null],
    ['ab{group}ba', 'aba', null],
  ])('%s on %s gives %j', (pattern, path, group) => {
    expect(groupOfPath(pattern, path)).toBe(group);
  });

  it('takes linear time on a hostile path', () => {
    expect(groupOfPath('*a*a*a*a*a*a*a*a*{group}b', 'a'.repeat(50_000))).toBe(null);
  });
});
