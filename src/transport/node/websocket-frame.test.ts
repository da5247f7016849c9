import { expect, test } from 'vitest';
import { binaryMessageHeader } from './websocket-frame.ts';

// The unmasked ones with 256 and 65 536 bytes are RFC 6455's own examples (section 5.7).
test.each([
  [0, false, '8200'],
  [125, false, '827d'],
  [126, false, '827e007e'],
  [256, false, '827e0100'],
  [65_535, false, '827effff'],
  [65_536, false, '827f0000000000010000'],
  [5_000_000_000, false, '827f000000012a05f200'],
  [5, true, '828500000000'],
  [256, true, '82fe010000000000'],
  [65_536, true, '82ff000000000001000000000000'],
])('the header of %i bytes, masked %s, is what RFC 6455 says', (bytes, masked, hex) => {
  expect(Buffer.from(binaryMessageHeader(bytes, masked)).toString('hex')).toBe(hex);
});
