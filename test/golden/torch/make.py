#!/usr/bin/env python3
"""Writes PyTorch's own numbers, which the tests of src/autodiff and test/equivalence hold their graphs to: golden.json and ct-cnn.json.

Needs Debian's python3-torch (1.13, CPU). Run it in this folder: python3 make.py [ct-cnn]. It draws from fixed seeds; numbers are float32.
"""
import json
import math
import sys

import numpy
import torch
import torch.nn as nn
import torch.nn.functional as F

torch.set_num_threads(1)


def stored(value):
    """A tensor as {dims, data}; the shortest decimals that give the same float32."""
    array = value.detach().numpy()
    if array.dtype == numpy.float32:
        data = [float(str(number)) for number in array.ravel()]
    else:
        data = [int(number) for number in array.ravel()]
    return {'dims': list(array.shape), 'data': data}


def with_gradients(function, inputs, seed=None):
    """The output, a seed for it, and the gradients of Σ seed·output with respect to the inputs."""
    leaves = [value.clone().requires_grad_(True) for value in inputs]
    output = function(*leaves)
    seed = torch.randn(output.shape) if seed is None else seed
    output.backward(seed)
    return {
        'inputs': [stored(value) for value in inputs],
        'output': stored(output),
        'seed': stored(seed),
        'gradients': [stored(leaf.grad) for leaf in leaves],
    }


def flat_patches(*dims):
    """Whole numbers from 0 to 2, with a constant block, so that windows tie in every way."""
    x = torch.randint(0, 3, dims).float()
    x[..., : dims[-2] // 2, : dims[-1] // 2] = 1
    return x


def max_pools():
    cases = []
    for kernel, stride, padding, dilation, ceil in [
        (2, 2, 0, 1, False), (3, 2, 1, 1, False), (3, 1, 1, 1, False), (2, 2, 0, 2, False), (3, 2, 0, 1, True), (3, 3, 0, 1, False),
    ]:
        for relu in (False, True):
            x = flat_patches(2, 2, 8, 8) - (1 if relu else 0)
            pool = lambda v: F.max_pool2d(F.relu(v) if relu else v, kernel, stride, padding, dilation, ceil)
            cases.append({'kernel': kernel, 'stride': stride, 'padding': padding, 'dilation': dilation, 'ceil': ceil,
                          'relu': relu, **with_gradients(pool, [x])})
    return cases


def average_pools():
    cases = []
    for kernel, stride, padding, ceil in [(2, 2, 0, False), (3, 2, 1, False), (3, 1, 1, False), (2, 3, 0, False), (3, 2, 1, True)]:
        for include in (False, True):
            pool = lambda v: F.avg_pool2d(v, kernel, stride, padding, ceil, include)
            cases.append({'kernel': kernel, 'stride': stride, 'padding': padding, 'ceil': ceil, 'includePad': include,
                          **with_gradients(pool, [torch.randn(2, 2, 7, 6)])})
    return cases


def activations():
    """Corners and far values among ordinary ones. (At 3 PyTorch's HardSwish depends on which of its loops ran.)"""
    x = torch.tensor([-100, -20, -3.5, -3, -2.5, -1, -0.5, -1e-4, 0, 1e-4, 0.5, 1, 2.5, 2.9, 3.5, 20, 100])
    functions = {
        'Gelu none': F.gelu, 'Gelu tanh': lambda v: F.gelu(v, approximate='tanh'), 'Relu': F.relu, 'HardSwish': F.hardswish,
        'LeakyRelu': lambda v: F.leaky_relu(v, 0.1), 'Elu': F.elu, 'Softplus': F.softplus,
        'Sigmoid': torch.sigmoid, 'Tanh': torch.tanh, 'Clip': lambda v: torch.clamp(v, -3, 2.5),
    }
    return [{'name': name, **with_gradients(function, [x])} for name, function in functions.items()]


def losses():
    weight = torch.tensor([1, 0.5, 2, 0, 1.5, 1])
    cases = []

    def add(kind, function, prediction, target):
        leaf = prediction.clone().requires_grad_(True)
        each = function(leaf, target)
        total = (each * weight).sum()
        total.backward()
        cases.append({'kind': kind, 'prediction': stored(prediction), 'target': stored(target), 'weight': stored(weight),
                      'perRecord': stored(each), 'total': stored(total), 'gradient': stored(leaf.grad)})

    classes = torch.tensor([0, 2, 1, 1, 0, 2])
    cross_entropy = lambda z, y: F.cross_entropy(z, y, reduction='none')
    add('softmax-cross-entropy', cross_entropy, torch.randn(6, 3) * 3, classes)
    add('softmax-cross-entropy', cross_entropy, torch.randn(6, 3) * 60, classes)
    add('softmax-cross-entropy', cross_entropy, torch.zeros(6, 3), classes)
    binary = torch.tensor([0, 1, 1, 0, 0, 1]).float()
    with_logits = lambda z, y: F.binary_cross_entropy_with_logits(z.view(-1), y, reduction='none')
    add('binary-cross-entropy', with_logits, torch.randn(6, 1) * 3, binary)
    add('binary-cross-entropy', with_logits, torch.tensor([[-120], [120], [-120], [120], [0], [0.0]]), binary)
    add('binary-cross-entropy', with_logits, torch.randn(6, 1), torch.rand(6))
    add('mse', lambda z, y: F.mse_loss(z.view(-1), y, reduction='none'), torch.randn(6, 1), torch.randn(6))
    mean, std_dev = 3.0, 2.0
    rmsle = lambda z, y: (torch.log1p(F.softplus(mean + std_dev * z.view(-1))) - torch.log1p(y)) ** 2
    add('rmsle', rmsle, torch.randn(6, 1), torch.rand(6) * 10)
    add('rmsle', rmsle, torch.tensor([[-60], [60], [-1.5], [0], [90], [2.0]]), torch.rand(6) * 10)
    return {'mean': mean, 'stdDev': std_dev, 'cases': cases}


def optimizers():
    """Six steps of each optimizer on two parameters from given gradients, the learning rate halved after the third."""
    settings = [
        ({'kind': 'sgd', 'momentum': 0, 'nesterov': False, 'weightDecay': 0}, None),
        ({'kind': 'sgd', 'momentum': 0.9, 'nesterov': False, 'weightDecay': 0}, None),
        ({'kind': 'sgd', 'momentum': 0.9, 'nesterov': True, 'weightDecay': 0.1}, None),
        ({'kind': 'sgd', 'momentum': 0.9, 'nesterov': False, 'weightDecay': 0.1}, 1.0),
        ({'kind': 'sgd', 'momentum': 0, 'nesterov': False, 'weightDecay': 0.1}, 100.0),
        ({'kind': 'adam', 'beta1': 0.9, 'beta2': 0.999, 'epsilon': 1e-8, 'weightDecay': 0}, None),
        ({'kind': 'adam', 'beta1': 0.8, 'beta2': 0.95, 'epsilon': 1e-6, 'weightDecay': 0.1}, None),
        ({'kind': 'adamw', 'beta1': 0.9, 'beta2': 0.999, 'epsilon': 1e-8, 'weightDecay': 0.1}, None),
        ({'kind': 'adamw', 'beta1': 0.9, 'beta2': 0.999, 'epsilon': 1e-8, 'weightDecay': 0.1}, 1.0),
    ]
    steps = 6
    start = [torch.randn(3, 2), torch.randn(4)]
    gradients = [[torch.randn(3, 2), torch.randn(4)] for _ in range(steps)]
    gradients[2][0].zero_()
    rates = [0.05] * 3 + [0.025] * 3
    cases = []
    for setting, clip in settings:
        parameters = [value.clone().requires_grad_(True) for value in start]
        decay = setting['weightDecay']
        if setting['kind'] == 'sgd':
            optimizer = torch.optim.SGD(parameters, 1, setting['momentum'], 0, decay, setting['nesterov'])
        else:
            make = torch.optim.Adam if setting['kind'] == 'adam' else torch.optim.AdamW
            optimizer = make(parameters, 1, (setting['beta1'], setting['beta2']), setting['epsilon'], decay)
        after = []
        for step in range(steps):
            for parameter, gradient in zip(parameters, gradients[step]):
                parameter.grad = gradient.clone()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(parameters, clip)
            optimizer.param_groups[0]['lr'] = rates[step]
            optimizer.step()
            after.append([stored(parameter) for parameter in parameters])
        cases.append({'optimizer': setting, 'clipNorm': clip, 'after': after})
    return {'start': [stored(value) for value in start], 'gradients': [[stored(g) for g in step] for step in gradients],
            'rates': rates, 'cases': cases}


def batch_norms():
    cases = []
    for dims in ([5, 3, 4, 2], [6, 3], [1, 2, 3]):
        layer = nn.BatchNorm1d(dims[1], momentum=0.3, eps=1e-3) if len(dims) < 4 else nn.BatchNorm2d(dims[1], momentum=0.3, eps=1e-3)
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2)
        before = [layer.running_mean.clone(), layer.running_var.clone()]
        x, scale, bias = torch.randn(dims) * 2 + 1, torch.randn(dims[1]), torch.randn(dims[1])
        result = with_gradients(lambda v, s, b: F.batch_norm(v, layer.running_mean, layer.running_var, s, b, True, 0.3, 1e-3),
                                [x, scale, bias])
        cases.append({'momentum': 0.7, 'epsilon': 1e-3, 'before': [stored(v) for v in before],
                      'after': [stored(layer.running_mean), stored(layer.running_var)], **result})
    return cases


def norms():
    x = torch.randn(3, 6, 4, 2) * 2 + 1
    per_channel = [torch.randn(6), torch.randn(6)]
    per_element = [torch.randn(4, 2), torch.randn(4, 2)]
    return [
        {'name': 'GroupNormalization', 'groups': 3, **with_gradients(lambda v, s, b: F.group_norm(v, 3, s, b), [x, *per_channel])},
        {'name': 'GroupNormalization', 'groups': 1, **with_gradients(lambda v, s, b: F.group_norm(v, 1, s, b), [x, *per_channel])},
        {'name': 'InstanceNormalization', **with_gradients(lambda v, s, b: F.instance_norm(v, None, None, s, b), [x, *per_channel])},
        {'name': 'LayerNormalization', **with_gradients(lambda v, s, b: F.layer_norm(v, [4, 2], s, b), [x, *per_element])},
    ]


def dropouts():
    """The mask is what PyTorch kept: no input is 0."""
    cases = []
    for ratio in (0.5, 0.2):
        x = torch.rand(4, 3, 2) + 0.5
        result = with_gradients(lambda v: F.dropout(v, ratio, True), [x])
        mask = [int(value != 0) for value in result['output']['data']]
        cases.append({'ratio': ratio, 'mask': {'dims': list(x.shape), 'data': mask}, **result})
    return cases


def convolutions():
    """Shapes of the case studies in small: 3 x 3 with padding 1, and stride, dilation, groups."""
    cases = []
    for inputs, outputs, kernel, stride, padding, dilation, groups in [
        (3, 4, 3, 1, 1, 1, 1), (4, 6, 3, 2, 1, 1, 2), (4, 4, 3, 1, 1, 1, 4), (2, 3, 3, 1, 2, 2, 1), (4, 8, 3, 2, 1, 1, 4), (3, 5, 1, 1, 0, 1, 1),
    ]:
        values = [torch.randn(2, inputs, 7, 8), torch.randn(outputs, inputs // groups, kernel, kernel), torch.randn(outputs)]
        function = lambda x, w, b: F.conv2d(x, w, b, stride, padding, dilation, groups)
        cases.append({'stride': stride, 'padding': padding, 'dilation': dilation, 'groups': groups, **with_gradients(function, values)})
    return cases


def golden():
    torch.manual_seed(1)
    return {'torch': torch.__version__, 'maxPools': max_pools(), 'averagePools': average_pools(), 'activations': activations(),
            'losses': losses(), 'optimizers': optimizers(), 'batchNorms': batch_norms(), 'norms': norms(), 'dropouts': dropouts(),
            'convolutions': convolutions()}


# 200 steps of `ct-cnn`. At this rate the loss falls and PyTorch's own float32 and float64 curves stay within 2e-4 of each other; at
# higher rates they part. Weights and batches come from a hash of a counter that the test computes as well (ct-cnn-data.ts).

STEPS, BATCH, SIZE, RATE, MOMENTUM = 200, 16, 64, 0.001, 0.9
LAYERS = [('conv1', [16, 1, 3, 3]), ('conv2', [32, 16, 3, 3]), ('conv3', [64, 32, 3, 3]), ('dense1', [128, 4096]), ('dense2', [2, 128])]


def uniform(stream, count):
    """float64 [count] from 0 to 1: Murmur3's finaliser of stream·2^20 + index, over 2^32."""
    h = (numpy.arange(count, dtype=numpy.uint64) + numpy.uint64(stream) * numpy.uint64(1 << 20)) & numpy.uint64(0xFFFFFFFF)
    h = h.astype(numpy.uint32)
    h ^= h >> numpy.uint32(16)
    h *= numpy.uint32(0x85EBCA6B)
    h ^= h >> numpy.uint32(13)
    h *= numpy.uint32(0xC2B2AE35)
    h ^= h >> numpy.uint32(16)
    return h.astype(numpy.float64) / 2.0**32


def start_weights():
    """U(-b, b) with b = 1/√fan-in, a stream each; biases 0. Dense layers have fewer than 2^20 weights."""
    weights = {}
    for stream, (name, dims) in enumerate(LAYERS):
        bound = 1 / math.sqrt(math.prod(dims[1:]))
        values = (2 * uniform(stream, math.prod(dims)) - 1) * bound
        weights[name] = torch.tensor(values.astype(numpy.float32).reshape(dims))
    return weights


def batch(step):
    """Images of noise inside a flat border; class 1 is brighter in a square; one label in ten is wrong."""
    pixels = uniform(100 + 2 * step, BATCH * SIZE * SIZE).reshape(BATCH, 1, SIZE, SIZE)
    draws = uniform(101 + 2 * step, 2 * BATCH)
    classes = (draws[:BATCH] < 0.5).astype(numpy.int64)
    for record in range(BATCH):
        if classes[record] == 1:
            pixels[record, :, 20:36, 24:44] = 0.5 * pixels[record, :, 20:36, 24:44] + 0.5
    pixels = 3 * (pixels - 0.5)
    pixels[:, :, :10, :] = 0
    pixels[:, :, :, 52:] = 0
    labels = numpy.where(draws[BATCH:] < 0.1, 1 - classes, classes)
    return torch.tensor(pixels.astype(numpy.float32)), torch.tensor(labels)


def ct_cnn():
    weights = start_weights()
    parameters = {}
    for name, value in weights.items():
        parameters[name + '.weight'] = value.requires_grad_(True)
        parameters[name + '.bias'] = torch.zeros(value.shape[0], requires_grad=True)
    optimizer = torch.optim.SGD(parameters.values(), RATE, MOMENTUM)
    curve = []
    for step in range(STEPS):
        x, labels = batch(step)
        for layer in ('conv1', 'conv2', 'conv3'):
            x = F.max_pool2d(F.relu(F.conv2d(x, parameters[layer + '.weight'], parameters[layer + '.bias'], padding=1)), 2)
        x = F.relu(F.linear(x.flatten(1), parameters['dense1.weight'], parameters['dense1.bias']))
        loss = F.cross_entropy(F.linear(x, parameters['dense2.weight'], parameters['dense2.bias']), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(float(str(loss.detach().numpy())))
    return {'torch': torch.__version__, 'steps': STEPS, 'batch': BATCH, 'rate': RATE, 'momentum': MOMENTUM, 'losses': curve}


def write(name, value):
    with open(name, 'w') as file:
        json.dump(value, file, allow_nan=False, separators=(',', ':'))
        file.write('\n')


if __name__ == '__main__':
    if 'ct-cnn' not in sys.argv[1:]:
        write('golden.json', golden())
    write('ct-cnn.json', ct_cnn())
