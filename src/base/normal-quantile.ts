// The inverse of the standard normal distribution function. It is built from + - * / and square root only, which IEEE 754 rounds
// the same everywhere; Math.log and Math.cos may differ in the last bits from one JavaScript engine to the next.

const float = new Float64Array(1);
const halves = new Uint32Array(float.buffer);
const littleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
const highHalf = littleEndian ? 1 : 0;

// ln 2 in two parts; the first has 32 significant bits, so that its product with an exponent is exact.
const ln2High = 0.6931471803691238;
const ln2Low = 1.9082149292705877e-10;

/**
 * The natural logarithm of a positive normal number, within 2 units in the last place, the same bits on every machine.
 *
 * x = m·2^e with sqrt(1/2) <= m < sqrt(2); f = (m - 1)/(m + 1); ln x = e·ln 2 + 2·(f + f³/3 + f⁵/5 + …).
 */
export function portableLog(x: number): number {
  float[0] = x;
  const high = halves[highHalf]!;
  let exponent = (high >>> 20) - 1023;
  halves[highHalf] = (high & 0xfffff) | 0x3ff00000;
  let mantissa = float[0];
  if (mantissa > Math.SQRT2) {
    mantissa *= 0.5;
    exponent += 1;
  }
  const f = (mantissa - 1) / (mantissa + 1);
  const s = f * f;
  let series = 1 / 25;
  for (let odd = 23; odd >= 3; odd -= 2) series = series * s + 1 / odd;
  return exponent * ln2High + (2 * f + (2 * f * s * series + exponent * ln2Low));
}

/**
 * The z for which a standard normal variable is below z with probability 1/2 + q, for -1/2 < q < 1/2; relative accuracy about 1e-15.
 * `tail` is 1/2 - |q|, given apart so that the caller can keep it exact. Odd in q to the last bit.
 *
 * M. J. Wichura, "Algorithm AS 241: The percentage points of the normal distribution", Applied Statistics 37 (1988), PPND16;
 * its coefficients are rounded to float64 here.
 */
export function normalQuantile(q: number, tail: number): number {
  if (Math.abs(q) <= 0.425) {
    const r = 0.180625 - q * q;
    return (
      (q *
        (((((((r * 2509.0809287301227 + 33430.57558358813) * r + 67265.7709270087) * r + 45921.95393154987) * r +
          13731.69376550946) *
          r +
          1971.5909503065513) *
          r +
          133.14166789178438) *
          r +
          3.3871328727963665)) /
      (((((((r * 5226.495278852854 + 28729.085735721943) * r + 39307.89580009271) * r + 21213.794301586597) * r +
        5394.196021424751) *
        r +
        687.1870074920579) *
        r +
        42.31333070160091) *
        r +
        1)
    );
  }
  const r = Math.sqrt(-portableLog(tail));
  const z = r <= 5 ? nearTail(r - 1.6) : farTail(r - 5);
  return q < 0 ? -z : z;
}

function nearTail(r: number): number {
  return (
    (((((((r * 0.0007745450142783414 + 0.022723844989269184) * r + 0.2417807251774506) * r + 1.2704582524523684) * r +
      3.6478483247632045) *
      r +
      5.769497221460691) *
      r +
      4.630337846156546) *
      r +
      1.4234371107496835) /
    (((((((r * 1.0507500716444169e-9 + 0.0005475938084995345) * r + 0.015198666563616457) * r + 0.14810397642748008) *
      r +
      0.6897673349851) *
      r +
      1.6763848301838038) *
      r +
      2.053191626637759) *
      r +
      1)
  );
}

function farTail(r: number): number {
  return (
    (((((((r * 2.0103343992922881e-7 + 2.7115555687434876e-5) * r + 0.0012426609473880784) * r + 0.026532189526576124) *
      r +
      0.29656057182850487) *
      r +
      1.7848265399172913) *
      r +
      5.463784911164114) *
      r +
      6.657904643501103) /
    (((((((r * 2.0442631033899397e-15 + 1.421511758316446e-7) * r + 1.8463183175100548e-5) * r +
      0.0007868691311456133) *
      r +
      0.014875361290850615) *
      r +
      0.1369298809227358) *
      r +
      0.599832206555888) *
      r +
      1)
  );
}
