# Makes the .onnx files beside this script and golden.json with what PyTorch computes for them.
# Needs Debian's python3-torch (1.13) and python3-onnx (1.12): /usr/bin/python3 test/golden/onnx/make.py

import json
import pathlib

import numpy
import onnx
import torch
from onnx import TensorProto, helper

here = pathlib.Path(__file__).parent
golden = {}


class Net(torch.nn.Module):
    """Touches the operators whose form changed between operator sets 11 and 17, and reshapes by run-time sizes."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 4, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(4)
        self.groups = torch.nn.GroupNorm(2, 4)
        self.pool = torch.nn.MaxPool2d(2)
        self.drop = torch.nn.Dropout(0.25)
        self.dense = torch.nn.Linear(4 * 4 * 4, 6)

    def forward(self, x):
        x = self.pool(torch.relu(self.norm(self.conv(x))))
        x = torch.nn.functional.pad(self.groups(x), (1, 1, 0, 2))[:, :, :4, 1:5]
        left, right = x.split([1, 3], dim=1)
        x = torch.cat([left.clamp(-1, 1), right * right.sum(dim=(2, 3), keepdim=True)], dim=1)
        x = x + torch.nn.functional.interpolate(x[:, :, ::2, ::2], scale_factor=2, mode='nearest')
        x = self.drop(x.view(x.size(0), -1))
        x = self.dense(x)
        x = torch.log_softmax(x.reshape(-1, 2, 3), dim=1).unsqueeze(3).squeeze(3)
        return x.mean(dim=2) - x.max(dim=2)[0]


def exported(opset):
    torch.manual_seed(7)
    net = Net()
    net.norm.running_mean.normal_()
    net.norm.running_var.uniform_(0.5, 2)
    net.eval()
    x = torch.randn(3, 2, 8, 8)
    name = f'pytorch-{opset}'
    torch.onnx.export(
        net,
        x,
        str(here / f'{name}.onnx'),
        opset_version=opset,
        input_names=['x'],
        output_names=['y'],
        dynamic_axes={'x': {0: 'batch'}, 'y': {0: 'batch'}},
        do_constant_folding=False,
    )
    golden[name] = {'x': x.flatten().tolist(), 'dims': list(x.shape), 'y': net(x).flatten().tolist()}


def typed():
    """Every element type in its typed field and as raw data; an initializer that is an input too; nothing has a name that need not have one."""
    types = ['FLOAT', 'DOUBLE', 'FLOAT16', 'INT8', 'UINT8', 'INT16', 'UINT16', 'INT32', 'UINT32', 'INT64', 'UINT64', 'BOOL']
    initializers = []
    for one in types:
        kind = getattr(TensorProto, one)
        array = numpy.array([1, 0, 1, 1, 0, 1] if one == 'BOOL' else [0, 1, 2, 3, 4, 100])
        array = array.astype(onnx.mapping.TENSOR_TYPE_TO_NP_TYPE[kind]).reshape(2, 3)
        values = array.flatten().tolist()
        initializers.append(helper.make_tensor(f'typed_{one}', kind, [2, 3], values))
        initializers.append(helper.make_tensor(f'raw_{one}', kind, [2, 3], array.tobytes(), raw=True))
    graph = helper.make_graph(
        [
            helper.make_node('Constant', [], ['two'], value=helper.make_tensor('', TensorProto.FLOAT, [], [2.0])),
            helper.make_node('Mul', ['x', 'typed_FLOAT'], ['doubled']),
            helper.make_node('Pow', ['doubled', 'two'], ['y']),
        ],
        'typed',
        [
            helper.make_tensor_value_info('x', TensorProto.FLOAT, [None, 2, 3]),
            helper.make_tensor_value_info('typed_FLOAT', TensorProto.FLOAT, [2, 3]),
        ],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, None)],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], ir_version=3)
    model.metadata_props.add(key='from', value='python')
    (here / 'typed.onnx').write_bytes(model.SerializeToString())


def refused():
    """Files that are well formed and that Septum does not take."""
    x = helper.make_tensor_value_info('x', TensorProto.FLOAT, ['N', 2])
    y = helper.make_tensor_value_info('y', TensorProto.FLOAT, ['N', 2])
    half = helper.make_graph(
        [helper.make_node('Identity', ['x'], ['y'])], 'bfloat16',
        [x], [y], [helper.make_tensor('w', TensorProto.BFLOAT16, [1], [1.0])],
    )  # fmt: skip
    far = helper.make_tensor('w', TensorProto.FLOAT, [2], [1.0, 2.0])
    far.ClearField('float_data')
    far.data_location = TensorProto.EXTERNAL
    far.external_data.add(key='location', value='/etc/passwd')
    external = helper.make_graph([helper.make_node('Add', ['x', 'w'], ['y'])], 'external', [x], [y], [far])
    branch = helper.make_graph([helper.make_node('Identity', ['x'], ['z'])], 'branch', [], [y])
    condition = helper.make_tensor('c', TensorProto.BOOL, [], [True])
    nested = helper.make_graph(
        [helper.make_node('If', ['c'], ['y'], then_branch=branch, else_branch=branch)], 'nested', [x], [y], [condition]
    )
    for graph in (half, external, nested):
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)])
        (here / f'{graph.name}.onnx').write_bytes(model.SerializeToString())
    old = helper.make_graph([helper.make_node('Identity', ['x'], ['y'])], 'old', [x], [y])
    (here / 'old.onnx').write_bytes(helper.make_model(old, opset_imports=[helper.make_opsetid('', 9)]).SerializeToString())


exported(11)
exported(12)
exported(17)
typed()
refused()
(here / 'golden.json').write_text(json.dumps(golden) + '\n')
