"""Writes random.json: golden vectors of docs/RANDOM.md, computed apart from the TypeScript. Needs scipy for `quantiles` only.

Run: python3 src/base/golden/random.py
"""

import hashlib
import json
import math
import pathlib
import struct

from scipy.special import ndtri

MASK = 0xFFFFFFFF


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & MASK, (p0 >> 32) ^ c[3] ^ k[1], p0 & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def item(value):
    if isinstance(value, int):
        return b"\x01" + struct.pack(">Q", value)
    kind, content = (b"\x02", value.encode()) if isinstance(value, str) else (b"\x03", value)
    return kind + struct.pack(">I", len(content)) + content


class Stream:
    def __init__(self, seed, purpose, place):
        name = b"septum random 1" + b"".join(item(x) for x in [seed, purpose, *place])
        self.k0, self.k1, self.c2, self.c3 = struct.unpack(">4I", hashlib.sha256(name).digest()[:16])

    def block(self, index, row):
        return philox([index, row, self.c2, self.c3], [self.k0, self.k1])

    def word(self, index, row=0):
        return self.block(index // 4, row)[index % 4]

    def uniform(self, index, row=0):
        return (self.word(index, row) >> 8) / 2**24

    def normal(self, index, row=0):
        return quantile((self.word(index, row) + 0.5) / 2**32)

    def integer(self, bound, index, row=0):
        block = self.block(index, row)
        while True:
            for word in block:
                if word * bound % 2**32 >= 2**32 % bound:
                    return word * bound >> 32
            block = philox(block, [self.k0, self.k1])

    def permutation(self, count, row=0):
        order = list(range(count))
        for i in range(count - 1, 0, -1):
            j = self.integer(i + 1, i, row)
            order[i], order[j] = order[j], order[i]
        return order

    def mask(self, length, keep, row=0):
        bits = next((b for b in [1, 2, 4, 8] if keep * 2**b == int(keep * 2**b)), 16)
        below = math.floor(keep * 2**bits + 0.5)
        out = []
        for e in range(length):
            word = self.word(e * bits // 32, row)
            out.append(int((word >> (e * bits % 32)) % 2**bits < below))
        return out


def log(x):
    m, e = math.frexp(x)
    m, e = m * 2, e - 1
    if m > math.sqrt(2):
        m, e = m / 2, e + 1
    f = (m - 1) / (m + 1)
    s = f * f
    series = 1 / 25
    for odd in range(23, 1, -2):
        series = series * s + 1 / odd
    return e * 0.6931471803691238 + (2 * f + (2 * f * s * series + e * 1.9082149292705877e-10))


# Wichura's AS 241, lowest power first.
A = [3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
     4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3]
B = [1.0, 4.2313330701600911252e1, 6.8718700749205790830e2, 5.3941960214247511077e3,
     2.1213794301586595867e4, 3.9307895800092710610e4, 2.8729085735721942674e4, 5.2264952788528545610e3]
C = [1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0,
     1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4]
D = [1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
     1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9]
E = [6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1,
     2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7]
F = [1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
     7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15]


def poly(coefficients, x):
    value = 0.0
    for c in reversed(coefficients):
        value = value * x + c
    return value


def quantile(p):
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return q * poly(A, r) / poly(B, r)
    r = math.sqrt(-log(p if q < 0 else 1 - p))
    z = poly(C, r - 1.6) / poly(D, r - 1.6) if r <= 5 else poly(E, r - 5) / poly(F, r - 5)
    return -z if q < 0 else z


def vectors(seed, purpose, place, seed_json):
    s = Stream(seed, purpose, place)
    return {
        "seed": seed_json,
        "purpose": purpose,
        "place": place,
        "key": [f"{s.k0:08x}", f"{s.k1:08x}"],
        "counterUpper": [f"{s.c2:08x}", f"{s.c3:08x}"],
        "words": [f"{s.word(i):08x}" for i in range(6)],
        "wordsOfRow7": [f"{s.word(i, 7):08x}" for i in range(6)],
        "lastWord": f"{s.word(2**34 - 1, MASK):08x}",
        "uniform": [s.uniform(i) for i in range(6)],
        "normal": [s.normal(i) for i in range(64)],
        "integer": {str(b): [s.integer(b, i, 3) for i in range(8)] for b in [1, 2, 6, 1000, 2**31 + 1, 2**32]},
        "permutation": s.permutation(10),
        "mask": {str(p): "".join(map(str, s.mask(70, p, 5))) for p in [0.5, 0.75, 0.8, 0.99609375]},
    }


golden = {
    "streams": [
        vectors(1, "dropout", [0, 2, 3, 4], 1),
        vectors(2**53 - 1, "segment", ["conv1.weight"], 2**53 - 1),
        vectors(bytes(range(16)), "é", [2**40, ""], {"hex": bytes(range(16)).hex()}),
    ],
    "quantiles": [
        [word, float(ndtri((word + 0.5) / 2**32))]
        for word in [0, 1, 1000, 59648, 59649, 10**6, 2**28, 322122547, 322122548, 2**30, 2**31 - 10**6, 2**31 - 1]
    ],
}
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(golden, indent=2, ensure_ascii=False) + "\n")
