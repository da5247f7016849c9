// What make_torch.py writes: values and nodes as JSON.

import { readFileSync } from 'node:fs';
import type { Attribute } from '../../src/onnx/index.ts';
import type { DType } from '../../src/tensor/index.ts';
import { f64, type F64Tensor } from './values.ts';

export interface StoredValue {
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

export type StoredAttributes = Readonly<Record<string, number | string | readonly number[]>>;

/** The cases of a file in test/golden/interpreter. */
export function readStored<T>(file: string): T[] {
  return JSON.parse(readFileSync(new URL(`../golden/interpreter/${file}`, import.meta.url), 'utf8')) as T[];
}

export function valueOf({ dims, data, dtype }: StoredValue): F64Tensor {
  return f64(dims, data, dtype);
}

/** Attributes that ONNX declares as floats, whole or not. */
const floats = new Set(['alpha', 'beta', 'epsilon', 'gamma', 'momentum']);

function attributeOf(name: string, value: number | string | readonly number[]): Attribute {
  if (typeof value === 'string') return { kind: 'string', value };
  if (typeof value === 'number') return floats.has(name) ? { kind: 'float', value } : { kind: 'int', value };
  return { kind: 'ints', value };
}

export function attributesOf(attributes: StoredAttributes): Readonly<Record<string, Attribute>> {
  return Object.fromEntries(Object.entries(attributes).map(([name, value]) => [name, attributeOf(name, value)]));
}
