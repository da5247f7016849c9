#!/usr/bin/env python3
"""Writes frames.json: frames of every kind of message, byte by byte from docs/PROTOCOL.md, without Septum's code and without a
protobuf library. codec.test.ts decodes each to the message that is named beside it, and encodes that message to the same bytes.

    python3 test/golden/wire/make_frames.py
"""
import json
import pathlib
import struct

KINDS = ['hello', 'welcome', 'refuse', 'census', 'pooled', 'activations', 'cut-gradient', 'parameter-gradient', 'gradient-sum',
         'trunk-output', 'output-gradient', 'weights', 'acknowledge', 'report', 'verdict', 'turn', 'finish']
NUMBERS = {**{kind: place + 1 for place, kind in enumerate(KINDS)}, 'challenge': 24, 'enrol': 25, 'enrolled': 26,
           'withdraw': 27, 'withdrawn': 28}
DTYPES = {'float32': (1, 'f'), 'uint8': (2, 'B'), 'int8': (3, 'b'), 'int32': (6, 'i'), 'int64': (7, 'q'), 'bool': (9, 'B'),
          'float16': (10, 'e'), 'float64': (11, 'd')}


def varint(value):
    out = b''
    while value > 0x7f:
        out += bytes([value & 0x7f | 0x80])
        value >>= 7
    return out + bytes([value])


def number(field, value):
    """An integer field; left out where it is 0, as proto3 does."""
    return varint(field << 3) + varint(value) if value else b''


def content(field, value):
    """A field of text, bytes or a message; left out where it is empty."""
    return varint(field << 3 | 2) + varint(len(value)) + value if value else b''


def tensor_header(name, dtype, dims):
    packed = b''.join(varint(dim) for dim in dims)
    inner = content(1, name.encode()) + number(2, DTYPES[dtype][0]) + content(3, packed)
    return varint(8 << 3 | 2) + varint(len(inner)) + inner


def frame(message):
    tensors = message.get('tensors', [])
    header = number(1, NUMBERS[message['kind']]) + number(2, message.get('sequence', 0))
    for field, name in enumerate(['epoch', 'step', 'part', 'chunk'], 3):
        header += number(field, message.get(name, 0))
    header += content(7, b''.join(struct.pack('<d', scalar) for scalar in message.get('scalars', [])))
    header += b''.join(tensor_header(t['name'], t['dtype'], t['dims']) for t in tensors)
    header += content(9, message.get('site', '').encode()) + content(10, bytes.fromhex(message.get('plan', '')))
    header += content(11, message.get('text', '').encode()) + content(12, bytes.fromhex(message.get('digest', '')))
    if 'proof' in message:
        fields = [message['proof'][name] for name in ['challenge', 'key', 'token', 'signature']]
        header += content(15, b''.join(content(field, bytes.fromhex(value)) for field, value in enumerate(fields, 1)))
    out = b'SPTM' + struct.pack('<II', 1, len(header)) + header
    for place, t in enumerate(tensors):
        alignment = 64 if place == 0 else 8
        out += b'\0' * (-len(out) % alignment) + bytes.fromhex(t['bytes'])
    return out


def tensor(name, dtype, dims, values):
    return {'name': name, 'dtype': dtype, 'dims': dims,
            'bytes': struct.pack(f'<{len(values)}{DTYPES[dtype][1]}', *values).hex()}


PLAN = bytes(range(32)).hex()
DIGEST = bytes(range(255, 223, -1)).hex()
def proof(challenge=b'', key=b'', token=b'', signature=b''):
    return {'challenge': challenge.hex(), 'key': key.hex(), 'token': token.hex(), 'signature': signature.hex()}


CHALLENGE, KEY, TOKEN, SIGNATURE = (bytes([byte]) * count for byte, count in [(0xc1, 32), (0xe1, 32), (0x70, 32), (0x51, 64)])
cut = tensor('cut', 'float32', [2, 3], [0.5, -1, 2, 3.25, 0, 1e-3])
messages = [
    ('a site says hello', {'kind': 'hello', 'site': 'north', 'plan': PLAN}),
    ('a site comes back', {'kind': 'hello', 'site': 'north', 'plan': PLAN, 'sequence': 1234}),
    ('the server welcomes', {'kind': 'welcome', 'plan': PLAN, 'sequence': 300}),
    ('a refusal', {'kind': 'refuse', 'text': 'plan-mismatch: another plan', 'scalars': [0.0]}),
    ('a census', {'kind': 'census', 'tensors': [
        tensor('counts', 'int32', [3], [70, 10, 20]), tensor('classes', 'int32', [3, 2], [30, 40, 4, 6, 9, 11]),
        tensor('sums', 'float64', [1, 3], [0.0, 0.0, 0.0])]}),
    ('the pool', {'kind': 'pooled', 'sequence': 1, 'scalars': [0.0], 'tensors': [
        tensor('counts', 'int32', [2, 3], [70, 10, 20, 20, 5, 5]), tensor('classes', 'int32', [3, 2], [40, 50, 7, 8, 12, 13]),
        tensor('sums', 'float64', [1, 3], [0.0, 0.0, 0.0])]}),
    ('a batch', {'kind': 'activations', 'sequence': 2, 'epoch': 1, 'step': 130, 'tensors': [
        cut, tensor('labels', 'int32', [2], [1, 0])]}),
    ('rows of the validation part', {'kind': 'activations', 'sequence': 77, 'epoch': 3, 'part': 1, 'chunk': 2, 'tensors': [
        cut, tensor('labels', 'float32', [2], [101.5, 88]), tensor('groups', 'int32', [2], [0, 4])]}),
    ('a chunk of an upload', {'kind': 'activations', 'sequence': 5, 'epoch': 2, 'chunk': 3, 'digest': DIGEST, 'tensors': [
        cut, tensor('labels', 'int32', [2], [1, 1])]}),
    ('a cut gradient', {'kind': 'cut-gradient', 'sequence': 3, 'epoch': 1, 'step': 130, 'scalars': [0.25, 0.75], 'tensors': [cut]}),
    ('a gradient of the segment', {'kind': 'parameter-gradient', 'sequence': 4, 'step': 1, 'tensors': [
        tensor('segment.g0', 'float32', [4], [1, 2, 3, 4])]}),
    ('the sum of the gradients', {'kind': 'gradient-sum', 'sequence': 5, 'step': 1, 'tensors': [
        tensor('segment.g0', 'float32', [4], [3, 2, 1, 0])]}),
    ("the trunk's output", {'kind': 'trunk-output', 'sequence': 3, 'scalars': [20.0], 'tensors': [
        tensor('output', 'float32', [1, 2], [0.5, 0.25])]}),
    ("the output's gradient", {'kind': 'output-gradient', 'sequence': 4, 'tensors': [
        tensor('output', 'float32', [1, 2], [-0.5, 0.125])]}),
    ('weights of odd lengths', {'kind': 'weights', 'sequence': 200, 'epoch': 2, 'chunk': 1, 'scalars': [41.0], 'tensors': [
        tensor('segment.w0', 'float32', [3], [1, 2, 3]), tensor('segment.w0.s0', 'float32', [3], [4, 5, 6]),
        tensor('segment.r0', 'float32', [1], [7])]}),
    ('every element type', {'kind': 'weights', 'tensors': [
        tensor('a', 'uint8', [3], [1, 2, 255]), tensor('b', 'int8', [1], [-1]), tensor('c', 'int64', [1], [-2]),
        tensor('d', 'bool', [2], [1, 0]), tensor('e', 'float16', [1], [1.5]), tensor('f', 'float64', [], [0.1])]}),
    ('no tensor data at all', {'kind': 'weights', 'tensors': [tensor('empty', 'float32', [0, 4], [])]}),
    ('an acknowledgement', {'kind': 'acknowledge', 'sequence': 9, 'epoch': 1, 'part': 2, 'chunk': 7}),
    ('a report', {'kind': 'report', 'sequence': 60, 'epoch': 1, 'part': 1, 'tensors': [
        tensor('statistics', 'float64', [24], [1.0] + [0.0] * 23)]}),
    ('a verdict', {'kind': 'verdict', 'sequence': 61, 'epoch': 1, 'scalars': [1.0, 0.5]}),
    ('a turn', {'kind': 'turn', 'sequence': 62, 'epoch': 2, 'step': 5}),
    ('the end', {'kind': 'finish', 'sequence': 99}),
    ('the server proves who it is', {'kind': 'challenge', 'proof': proof(CHALLENGE, KEY, b'', SIGNATURE)}),
    ('a site says hello and proves it', {
        'kind': 'hello', 'site': 'north', 'plan': PLAN, 'sequence': 7, 'proof': proof(CHALLENGE, KEY, b'', SIGNATURE)}),
    ('the server welcomes and proves it', {'kind': 'welcome', 'plan': PLAN, 'sequence': 7, 'proof': proof(signature=SIGNATURE)}),
    ('a site brings an invite', {
        'kind': 'enrol', 'site': 'north', 'text': 'lipids', 'proof': proof(CHALLENGE, KEY, TOKEN, SIGNATURE)}),
    ('it is enrolled', {'kind': 'enrolled', 'site': 'north', 'text': 'lipids', 'proof': proof(signature=SIGNATURE)}),
    ('a site takes no further part', {
        'kind': 'withdraw', 'site': 'north', 'text': 'lipids', 'proof': proof(CHALLENGE, KEY, b'', SIGNATURE)}),
    ('it has withdrawn', {'kind': 'withdrawn', 'site': 'north', 'text': 'lipids', 'proof': proof(signature=SIGNATURE)}),
]
golden = [{'name': name, 'message': message, 'hex': frame(message).hex()} for name, message in messages]
(pathlib.Path(__file__).parent / 'frames.json').write_text(json.dumps(golden, indent=1) + '\n')
