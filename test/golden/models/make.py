#!/usr/bin/env python3
"""Writes one model as PyTorch exports it for inference (small-cnn.onnx) and for training (small-cnn-training.onnx), and
small-cnn.json, an input and PyTorch's outputs for it in inference.

Fresh layers on purpose: the exporter for inference then keeps equal parameters and statistics once, with Identities, which a
reader must undo.
Needs Debian's python3-torch (1.13) and python3-onnx. Run from this folder: python3 make.py
"""
import copy
import json

import torch
import torch.nn as nn


class SmallCnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer('mean', torch.full((1, 2, 1, 1), 0.45))
        self.conv1 = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(4)
        self.fc1 = nn.Linear(4 * 4 * 4, 6)
        self.drop = nn.Dropout(0.25)
        self.fc2 = nn.Linear(6, 3)

    def forward(self, image):
        a = torch.relu(self.norm1(self.conv1(image - self.mean)))
        b = nn.functional.gelu(self.norm2(self.conv2(a))) + a
        c = nn.functional.max_pool2d(b, 2).view(image.size(0), -1)
        return self.fc2(self.drop(nn.functional.hardswish(self.fc1(c))))


torch.manual_seed(1)
fresh = SmallCnn()
image = torch.rand(2, 2, 8, 8)
results = {'image': image.flatten().tolist()}
mode = torch.onnx.TrainingMode
for name, training in (('small-cnn', mode.PRESERVE), ('small-cnn-training', mode.TRAINING)):
    model = copy.deepcopy(fresh).train(training == mode.TRAINING)
    torch.onnx.export(model, image, f'{name}.onnx', input_names=['image'], output_names=['logits'], opset_version=16,
                      dynamic_axes={'image': {0: 'batch'}, 'logits': {0: 'batch'}}, training=training,
                      do_constant_folding=False)
    with torch.no_grad():  # Exporting for training has moved the running statistics.
        results[name] = model.eval()(image).flatten().tolist()
with open('small-cnn.json', 'w') as file:
    json.dump(results, file)
    file.write('\n')
