// Philox4x32-10: a keyed bijection of 128 bits whose outputs for the counters 0, 1, 2 … pass the usual statistical batteries.
// J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3", SC '11, section 4.2.
// It is not a cipher: who sees outputs may in principle learn the key.

const multiplier0High = 0xd251;
const multiplier0Low = 0x1f53;
const multiplier0 = 0xd2511f53 | 0;
const multiplier1High = 0xcd9e;
const multiplier1Low = 0x8d57;
const multiplier1 = 0xcd9e8d57 | 0;
const keyStep0 = 0x9e3779b9 | 0;
const keyStep1 = 0xbb67ae85 | 0;

/**
 * Writes the four 32-bit words of Philox4x32-10 for a counter (c0 … c3) and a key (k0, k1) to `out[0 … 3]`.
 * Only the low 32 bits of each argument count; signed and unsigned words are alike.
 *
 * One of ten rounds: (c0, c1, c2, c3) ← (hi(M1·c2) ^ c1 ^ k0, lo(M1·c2), hi(M0·c0) ^ c3 ^ k1, lo(M0·c0)); then the key is stepped.
 */
export function philox4x32(
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  k0: number,
  k1: number,
  out: Uint32Array,
): void {
  // Everything is kept as int32, which V8 holds in registers. The high half of a 32 x 32 bit product comes from four 16 x 16 bit
  // products; no partial sum exceeds 32 bits.
  c0 |= 0;
  c1 |= 0;
  c2 |= 0;
  c3 |= 0;
  k0 |= 0;
  k1 |= 0;
  for (let round = 0; round < 10; round++) {
    const a0 = c0 & 0xffff;
    const a1 = c0 >>> 16;
    const aMiddle = (Math.imul(multiplier0High, a0) + (Math.imul(multiplier0Low, a0) >>> 16)) | 0;
    const aCarry = (Math.imul(multiplier0Low, a1) + (aMiddle & 0xffff)) | 0;
    const aHigh = (Math.imul(multiplier0High, a1) + (aMiddle >>> 16) + (aCarry >>> 16)) | 0;
    const aLow = Math.imul(multiplier0, c0);

    const b0 = c2 & 0xffff;
    const b1 = c2 >>> 16;
    const bMiddle = (Math.imul(multiplier1High, b0) + (Math.imul(multiplier1Low, b0) >>> 16)) | 0;
    const bCarry = (Math.imul(multiplier1Low, b1) + (bMiddle & 0xffff)) | 0;
    const bHigh = (Math.imul(multiplier1High, b1) + (bMiddle >>> 16) + (bCarry >>> 16)) | 0;
    const bLow = Math.imul(multiplier1, c2);

    c0 = bHigh ^ c1 ^ k0;
    c1 = bLow;
    c2 = aHigh ^ c3 ^ k1;
    c3 = aLow;
    k0 = (k0 + keyStep0) | 0;
    k1 = (k1 + keyStep1) | 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}
