#!/usr/bin/env python3
"""Prints the golden values of initialise.test.ts from the layout that docs/RANDOM.md states, without Septum's code."""
import hashlib
import struct
from statistics import NormalDist


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k[1], p0 & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def item(value):
    if isinstance(value, int):
        return b'\1' + struct.pack('>Q', value)
    kind, content = (b'\2', value.encode()) if isinstance(value, str) else (b'\3', value)
    return kind + struct.pack('>I', len(content)) + content


def words(seed, name):
    stream = b'septum random 1' + item(seed) + item('init') + item(name)
    k0, k1, c2, c3 = struct.unpack('>4I', hashlib.sha256(stream).digest()[:16])
    return philox((0, 0, c2, c3), (k0, k1))


def single(value):
    return struct.unpack('f', struct.pack('f', value))[0]


def uniform(seed, name, fan_in):
    return [single(fan_in ** -0.5 * (2 * (word >> 8) * 2 ** -24 - 1)) for word in words(seed, name)]


def normal(seed, name, fan_out):
    quantile = NormalDist().inv_cdf
    return [single((2 / fan_out) ** 0.5 * single(quantile((word + 0.5) * 2 ** -32))) for word in words(seed, name)]


print('lipid-mlp fc1.weight', uniform(1, 'fc1.weight', 7))
print('lipid-mlp fc1.bias', uniform(1, 'fc1.bias', 7))
print('lipid-mlp fc1.weight, seed 2', uniform(2, 'fc1.weight', 7))
print('lipid-mlp fc1.weight, seed bytes', uniform(bytes(range(16)), 'fc1.weight', 7))
print('ct-cnn conv2.weight', uniform(1, 'conv2.weight', 144))
print('vgg19 conv1_1.weight', normal(1, 'conv1_1.weight', 576))
