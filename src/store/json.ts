// Values that JSON can hold without loss: what stores keep beside tensors.

import { DataError } from '../base/index.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** The value as JSON text. Throws DataError that names where a value is that JSON would change or drop, such as NaN. */
export function encodeJson(value: Json): string {
  const problems: string[] = [];
  findProblems(value, '$', problems);
  if (problems.length > 0) throw new DataError('bad-data', problems);
  return JSON.stringify(value);
}

/** A value as JSON holds it: what is not finite becomes null, what is undefined is left out. */
export function asJson(value: unknown): Json {
  return JSON.parse(JSON.stringify(value, (_key, inner: unknown) => (Object.is(inner, -0) ? 0 : inner))) as Json;
}

function findProblems(value: unknown, path: string, problems: string[]): void {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return;
  if (typeof value === 'number') {
    if (!Number.isFinite(value) || Object.is(value, -0))
      problems.push(`${path}: JSON cannot hold ${Object.is(value, -0) ? '-0' : value}`);
  } else if (Array.isArray(value)) {
    value.forEach((item, index) => findProblems(item, `${path}[${index}]`, problems));
  } else if (typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
    for (const [key, item] of Object.entries(value)) findProblems(item, `${path}.${key}`, problems);
  } else {
    problems.push(`${path}: JSON cannot hold a value of type ${typeof value}`);
  }
}
