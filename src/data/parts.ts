// Which part a record belongs to: by the name its source gives, or by a hash of its group. Never by anything that was learnt.

import { sha256 } from '../base/index.ts';
import { parts, type Part } from './records.ts';

/** The part of each name of `splitNames`; a name under two parts keeps the first. */
export function partNames(splitNames: Readonly<Record<Part, readonly string[]>>): ReadonlyMap<string, Part> {
  const map = new Map<string, Part>();
  for (const part of parts) for (const name of splitNames[part]) if (!map.has(name)) map.set(name, part);
  return map;
}

/**
 * The part of a group where none is declared: u = (the first 48 bits, big-endian, of the SHA-256 of the UTF-8 text `seed LF group`)
 * / 2^48; train below fractions.train, val below fractions.train + fractions.val, else test.
 * The same group has the same part at every site and in every run of the study.
 */
export function partOfGroup(seed: number, group: string, fractions: Readonly<Record<Part, number>>): Part {
  const digest = sha256(new TextEncoder().encode(`${seed}\n${group}`));
  let u = 0;
  for (let index = 5; index >= 0; index--) u = (u + digest[index]!) / 256;
  if (u < fractions.train) return 'train';
  return u < fractions.train + fractions.val || fractions.test === 0 ? 'val' : 'test';
}
