import { describe, expect, it } from 'vitest';
import { bytesText, countText, durationText, figureText } from './amounts.ts';

describe('amounts for people', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [99_940, '99.9 kB'],
    [99_960, '100 kB'],
    [999_600, '1.0 MB'],
    [2.5e9, '2.5 GB'],
  ])('%d bytes are %s', (bytes, text) => expect(bytesText(bytes)).toBe(text));

  it.each([
    [0, '0:00'],
    [59.6, '1:00'],
    [3599, '59:59'],
    [7384, '2:03:04'],
    [-3, '0:00'],
  ])('%d seconds are %s', (seconds, text) => expect(durationText(seconds)).toBe(text));

  it.each([
    [7, '7'],
    [1234, '1 234'],
    [1_234_567.4, '1 234 567'],
  ])('%d is counted as %s', (count, text) => expect(countText(count)).toBe(text));

  it.each([
    [null, '-'],
    [0, '0'],
    [0.97512, '0.9751'],
    [12.3456, '12.35'],
    [0.00001234, '1.23e-5'],
    [123_456, '1.23e+5'],
  ])('the figure %s is shown as %s', (value, text) => expect(figureText(value)).toBe(text));
});
