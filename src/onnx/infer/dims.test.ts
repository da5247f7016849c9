import { describe, expect, it } from 'vitest';
import { addDims, broadcastDims, canonicalDim, divideDims, multiplyDims, productOfDims, subtractDims } from './dims.ts';

describe('symbolic dimensions', () => {
  it('have one form: the coefficient first, then the symbols in order', () => {
    expect(canonicalDim('N*49')).toBe('49*N');
    expect(canonicalDim('1*N')).toBe('N');
    expect(canonicalDim('N*7*M*7')).toBe('49*M*N');
    expect(canonicalDim('0*N')).toBe(0);
    expect(canonicalDim('12')).toBe(12);
    expect(canonicalDim(' batch ')).toBe('batch');
  });

  it('multiply and divide back', () => {
    const total = productOfDims(['N', 7, 7, 512]);
    expect(total).toBe('25088*N');
    expect(divideDims(total, 512)).toBe('49*N');
    expect(divideDims(total, multiplyDims('N', 512))).toBe(49);
    expect(divideDims(multiplyDims('49*N', 'M'), 'M')).toBe('49*N');
  });

  it('are undefined where the form cannot say the result', () => {
    expect(divideDims('N', 2)).toBeUndefined();
    expect(divideDims(6, 'N')).toBeUndefined();
    expect(divideDims('N', 'M')).toBeUndefined();
    expect(divideDims(6, 0)).toBeUndefined();
    expect(addDims('N', 1)).toBeUndefined();
    expect(addDims('N', 'M')).toBeUndefined();
  });

  it('add up where they are of one symbol', () => {
    expect(addDims('N', '2*N')).toBe('3*N');
    expect(addDims(0, 'N')).toBe('N');
    expect(subtractDims('3*N', 'N')).toBe('2*N');
    expect(subtractDims('N', 'N')).toBe(0);
  });

  it('broadcast with themselves and with 1 only', () => {
    expect(broadcastDims(['N', 1, 5], [4, 1])).toEqual(['N', 4, 5]);
    expect(broadcastDims(['N'], ['N'])).toEqual(['N']);
    expect(broadcastDims(['N'], [3])).toBeUndefined();
    expect(broadcastDims(['N'], ['M'])).toBeUndefined();
  });
});
