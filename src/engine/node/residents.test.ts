import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { LARGE_BYTES_MIN, Residents, type Made } from './residents.ts';

const large = LARGE_BYTES_MIN / 4;

describe('residents', () => {
  test('a large kept value alternates between two buffers, and what ONNX Runtime returns beside them is given back', () => {
    const residents = new Residents();
    const put = filled(0);
    residents.set('p', put);

    const first = filled(1);
    residents.accept(made('p', first));
    // The value that was put may share its buffer with others: it is neither written again nor given back.
    for (const value of [put, first]) expect(residents.spareOf('p', 'float32', [large])).not.toBe(value);
    expect(put.data.length).toBe(large);

    const second = filled(2);
    residents.accept(made('p', second));
    expect(residents.get('p')).toBe(second);
    expect(residents.spareOf('p', 'float32', [large])).toBe(first);
    expect(residents.bytes).toBe(2 * LARGE_BYTES_MIN);

    const copy = filled(3);
    residents.accept({ ...made('p', copy), spare: first });
    expect(residents.get('p')).toBe(first);
    expect(residents.spareOf('p', 'float32', [large])).toBe(second);
    expect(copy.data.length).toBe(0);
    expect(residents.bytes).toBe(2 * LARGE_BYTES_MIN);
  });

  test('a value that no one else sees is the spare of the next but one, and the first spare is a buffer of its own', () => {
    const residents = new Residents();
    const put = filled(0);
    residents.set('p', put, true);
    const spare = residents.spareOf('p', 'float32', [large]);
    expect(spare?.data.length).toBe(large);
    expect(spare?.data).not.toBe(put.data);
    expect(residents.bytes).toBe(LARGE_BYTES_MIN);

    const copy = filled(1);
    const next = { ...made('p', copy), spare };
    expect(residents.growthOf(next)).toBe(LARGE_BYTES_MIN);
    residents.accept(next);
    expect(residents.get('p')).toBe(spare);
    expect(residents.spareOf('p', 'float32', [large])).toBe(put);
    expect(copy.data.length).toBe(0);
  });

  test('a value that is small, of another shape or not there has no spare', () => {
    const residents = new Residents();
    residents.set('small', new OrtTensor('float32', new Float32Array(2), [2]), true);
    residents.set('p', filled(1), true);
    expect(residents.spareOf('small', 'float32', [2])).toBeUndefined();
    expect(residents.spareOf('p', 'float32', [2, large / 2])).toBeUndefined();
    expect(residents.spareOf('q', 'float32', [large])).toBeUndefined();
  });

  test('a spare fits one type and one shape', () => {
    const residents = new Residents();
    residents.accept(made('p', filled(1)));
    residents.accept(made('p', filled(2)));
    expect(residents.spareOf('p', 'float32', [large])).toBeDefined();
    expect(residents.spareOf('p', 'int32', [large])).toBeUndefined();
    expect(residents.spareOf('p', 'float32', [1, large])).toBeUndefined();
    expect(residents.spareOf('p', 'float32', ['N'])).toBeUndefined();
    expect(residents.spareOf('q', 'float32', [large])).toBeUndefined();
  });

  test('a value whose shape varies has no spare: the one before it is given back', () => {
    const residents = new Residents();
    const first = filled(1);
    residents.accept({ ...made('a', first), steady: false });
    const second = filled(2);
    expect(residents.growthOf({ ...made('a', second), steady: false })).toBe(0);
    residents.accept({ ...made('a', second), steady: false });
    expect(first.data.length).toBe(0);
    expect(residents.bytes).toBe(LARGE_BYTES_MIN);
  });

  test('growth is foretold as it comes, and dropping takes all of it back', () => {
    const residents = new Residents();
    for (const value of [1, 2, 3]) {
      const next = made('p', filled(value));
      const foretold = residents.bytes + residents.growthOf(next);
      residents.accept(next);
      expect(residents.bytes).toBe(foretold);
    }
    residents.set('small', new OrtTensor('float32', new Float32Array(2), [2]));
    residents.accept(made('small', new OrtTensor('float32', new Float32Array(2), [2])));
    residents.accept(made('small', new OrtTensor('float32', new Float32Array(2), [2])));
    expect(residents.bytes).toBe(2 * LARGE_BYTES_MIN + 8);
    const last = residents.get('p')!;
    residents.drop('p');
    residents.drop('p');
    expect(last.data.length).toBe(0);
    expect(residents.bytes).toBe(8);
    residents.clear();
    expect(residents.bytes).toBe(0);
    expect(residents.get('small')).toBeUndefined();
  });
});

function filled(value: number): OrtTensor {
  return new OrtTensor('float32', new Float32Array(large).fill(value), [large]);
}

function made(name: string, result: OrtTensor): Made {
  return { name, result, spare: undefined, steady: true };
}
