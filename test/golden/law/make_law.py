#!/usr/bin/env python3
"""Trains the uncut networks of studies.ts in PyTorch and writes where they end: NAME.bin, the parameters one after another in float32,
and law.json, which names them and gives the loss of every step.

Needs Debian's python3-torch (1.13, CPU):  python3 make_law.py FOLDER   with the folder that export.ts wrote (its head says how).
"""
import json
import pathlib
import sys

import numpy
import torch
import torch.nn.functional as F

torch.set_num_threads(1)
here = pathlib.Path(__file__).parent


def lipid_mlp(p, x, masks):
    x = F.leaky_relu(F.linear(x, p['fc1.weight'], p['fc1.bias']), 0.005)
    x = F.leaky_relu(F.linear(x, p['fc2.weight'], p['fc2.bias']), 0.005)
    return F.linear(x, p['fc3.weight'], p['fc3.bias'])


def ct_cnn(p, x, masks):
    for layer in ('conv1', 'conv2', 'conv3'):
        x = F.max_pool2d(F.relu(F.conv2d(x, p[f'{layer}.weight'], p[f'{layer}.bias'], padding=1)), 2)
    x = x.flatten(1) * masks[0] / 0.5
    x = F.relu(F.linear(x, p['fc1.weight'], p['fc1.bias'])) * masks[1] / 0.5
    return F.linear(x, p['fc2.weight'], p['fc2.bias'])


def mean_square(y, labels, mean, sd):
    return F.mse_loss(y[:, 0], (labels - mean) / sd)


def cross_entropy(y, labels, mean, sd):
    return F.cross_entropy(y, labels.long())


networks = {'lipid-mlp': (lipid_mlp, mean_square), 'ct-cnn': (ct_cnn, cross_entropy)}
results = {}
for name, (network, loss_of) in networks.items():
    folder = pathlib.Path(sys.argv[1])
    study = json.loads((folder / f'{name}.json').read_text())
    numbers = torch.from_numpy(numpy.fromfile(folder / f'{name}.bin', dtype='<f4'))
    at = 0

    def take(dims):
        global at
        count = int(numpy.prod(dims))
        at += count
        return numbers[at - count:at].reshape(dims).clone()

    parameters = {entry['name']: take(entry['dims']).requires_grad_(True) for entry in study['parameters']}
    optimizer = torch.optim.SGD(parameters.values(), lr=study['learningRate'], momentum=study['momentum'])
    losses = []
    for step in study['steps']:
        x = take([step['rows'], *study['inputDims']])
        labels = take([step['rows']])
        masks = [take(dims) for dims in step['masks']]
        loss = loss_of(network(parameters, x, masks), labels, *study['target'])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(round(float(loss), 7))
    assert at == len(numbers)
    ends = [value.detach().numpy().astype('<f4').ravel() for value in parameters.values()]
    numpy.concatenate(ends).tofile(here / f'{name}.bin')
    results[name] = {'parameters': study['parameters'], 'losses': losses}
(here / 'law.json').write_text(json.dumps(results) + '\n')
