"""Writes to test/golden/interpreter what PyTorch computes in float64.

torch.json: inputs and outputs of single ONNX operators, to which torch.test.ts holds the interpreter.
corners.json: gradients where they are a matter of convention, at ties and corners, to which corners.test.ts holds the gradient rules.

Made with PyTorch 1.13 (Debian's python3-torch):  python3 test/interpreter/make_torch.py
Inputs have three decimals, so that they are short to write; outputs have all their digits.
"""

import json
import pathlib

import torch
import torch.nn.functional as F

torch.manual_seed(20210810)
torch.set_default_dtype(torch.float64)
cases = []


def values(*dims):
    return torch.round(torch.randn(dims) * 1000) / 1000


def positive(*dims):
    return values(*dims).abs() + 0.125


def tied(*dims):
    """Small whole numbers: many windows hold their maximum more than once."""
    return torch.randint(0, 3, dims).to(torch.float64)


def integers(numbers):
    return torch.tensor(numbers, dtype=torch.int64)


def stored(tensor):
    if tensor is None:
        return None
    kind = {torch.int64: "int64", torch.bool: "bool"}.get(tensor.dtype, "float64")
    return {"dtype": kind, "dims": list(tensor.shape), "data": [float(x) for x in tensor.reshape(-1)]}


def case(title, op, inputs, outputs, **attributes):
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    cases.append(
        {
            "title": title,
            "op": op,
            "attributes": attributes,
            "inputs": [stored(each) for each in inputs],
            "outputs": [stored(each) for each in outputs],
        }
    )


def convolutions():
    x, w, b = values(2, 4, 7, 6), values(6, 2, 3, 2), values(6)
    y = F.conv2d(x, w, b, stride=(2, 1), padding=(1, 2), dilation=(2, 1), groups=2)
    case("stride, pads, dilation, groups, bias", "Conv", [x, w, b], y,
         strides=[2, 1], pads=[1, 2, 1, 2], dilations=[2, 1], group=2, kernel_shape=[3, 2])
    x, w = values(1, 3, 5, 5), values(3, 1, 3, 3)
    case("depthwise", "Conv", [x, w], F.conv2d(x, w, padding=1, groups=3), pads=[1, 1, 1, 1], group=3)
    x, w, b = values(2, 2, 9), values(3, 2, 4), values(3)
    case("one spatial axis", "Conv", [x, w, b], F.conv1d(x, w, b, stride=2, padding=1), strides=[2], pads=[1, 1])
    x, w = values(1, 2, 3, 4, 3), values(2, 2, 2, 3, 2)
    case("three spatial axes", "Conv", [x, w], F.conv3d(x, w, padding=(1, 0, 0)), pads=[1, 0, 0, 1, 0, 0])
    x, w = values(1, 2, 4, 5), values(2, 2, 3, 3)
    case("uneven pads", "Conv", [x, w], F.conv2d(F.pad(x, (0, 2, 1, 3)), w), pads=[1, 0, 3, 2])
    x, w = values(1, 2, 6, 5), values(3, 2, 3, 5)
    case("auto_pad SAME_UPPER", "Conv", [x, w], F.conv2d(x, w, padding="same"), auto_pad="SAME_UPPER")
    x, w, b = values(2, 4, 3, 4), values(4, 3, 3, 2), values(6)
    y = F.conv_transpose2d(x, w, b, stride=(2, 3), padding=(1, 0), output_padding=(1, 2), groups=2, dilation=(1, 2))
    case("stride, pads, output padding, groups, dilation", "ConvTranspose", [x, w, b], y, strides=[2, 3],
         pads=[1, 0, 1, 0], output_padding=[1, 2], group=2, dilations=[1, 2])
    x, w = values(2, 3, 5), values(3, 2, 3)
    case("one spatial axis", "ConvTranspose", [x, w], F.conv_transpose1d(x, w, padding=1), pads=[1, 1])


def pools():
    def indices_of_onnx(found, x):
        """PyTorch counts within a plane, ONNX within the whole tensor."""
        planes = torch.arange(x.shape[0] * x.shape[1]).reshape(x.shape[0], x.shape[1], 1, 1)
        return found + planes * x.shape[2] * x.shape[3]

    for title, ceil, dilation in [("overlapping, padded, tied", 0, 1), ("ceil_mode, tied", 1, 1), ("dilation, tied", 0, 2)]:
        x = tied(2, 2, 7, 8)
        y, found = F.max_pool2d(x, 3, stride=2, padding=1, dilation=dilation, ceil_mode=bool(ceil), return_indices=True)
        case(title, "MaxPool", [x], [y, indices_of_onnx(found, x)], kernel_shape=[3, 3], strides=[2, 2],
             pads=[1, 1, 1, 1], dilations=[dilation, dilation], ceil_mode=ceil)
    x = tied(1, 2, 5, 4)
    y, found = F.max_pool2d(x, (2, 1), stride=(2, 3), ceil_mode=True, return_indices=True)
    case("ceil_mode, a stride longer than the kernel", "MaxPool", [x], [y, indices_of_onnx(found, x)],
         kernel_shape=[2, 1], strides=[2, 3], ceil_mode=1)
    for include in (0, 1):
        for ceil in (0, 1):
            x = values(2, 2, 6, 7)
            y = F.avg_pool2d(x, (3, 2), stride=(2, 2), padding=(1, 1), ceil_mode=bool(ceil), count_include_pad=bool(include))
            case(f"count_include_pad {include}, ceil_mode {ceil}", "AveragePool", [x], y, kernel_shape=[3, 2],
                 strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=include, ceil_mode=ceil)
    x = values(2, 3, 4, 5)
    case("plane", "GlobalAveragePool", [x], F.adaptive_avg_pool2d(x, 1))
    case("plane", "GlobalMaxPool", [x], F.adaptive_max_pool2d(x, 1))


def normalizations():
    x, scale, bias, mean, variance = values(3, 4, 3, 2), values(4), values(4), values(4), positive(4)
    case("inference", "BatchNormalization", [x, scale, bias, mean, variance],
         F.batch_norm(x, mean, variance, scale, bias, training=False, eps=1e-3), epsilon=1e-3)
    new_mean, new_variance = mean.clone(), variance.clone()
    y = F.batch_norm(x, new_mean, new_variance, scale, bias, training=True, momentum=0.25, eps=1e-3)
    # PyTorch keeps the unbiased variance, ONNX the population's: count 18 a channel.
    new_variance = 0.75 * variance + (new_variance - 0.75 * variance) * 17 / 18
    case("training, population variance", "BatchNormalization", [x, scale, bias, mean, variance],
         [y, new_mean, new_variance], epsilon=1e-3, momentum=0.75, training_mode=1)
    case("two groups", "GroupNormalization", [x, scale, bias], F.group_norm(x, 2, scale, bias, eps=1e-3),
         num_groups=2, epsilon=1e-3)
    case("plane", "InstanceNormalization", [x, scale, bias], F.instance_norm(x, weight=scale, bias=bias, eps=1e-3),
         epsilon=1e-3)
    scale, bias = values(3, 2), values(3, 2)
    case("two axes", "LayerNormalization", [x, scale, bias], F.layer_norm(x, (3, 2), scale, bias, eps=1e-3),
         axis=2, epsilon=1e-3)
    x, scale = values(5, 6), values(6)
    case("last axis, no bias", "LayerNormalization", [x, scale], F.layer_norm(x, (6,), scale))
    x = values(3, 5, 2) * 4
    case("middle axis", "Softmax", [x], F.softmax(x, 1), axis=1)
    case("middle axis", "LogSoftmax", [x], F.log_softmax(x, 1), axis=1)


def activations():
    x = values(40) * 3
    simple = {
        "Erf": torch.erf, "Softplus": F.softplus, "Sigmoid": torch.sigmoid, "Tanh": torch.tanh, "Softsign": F.softsign,
        "Mish": F.mish, "Selu": F.selu, "HardSwish": F.hardswish, "Relu": F.relu, "Sign": torch.sign, "Floor": torch.floor,
        "Ceil": torch.ceil, "Abs": torch.abs, "Exp": torch.exp, "Reciprocal": torch.reciprocal, "Sin": torch.sin, "Cos": torch.cos,
    }
    for op, function in simple.items():
        case("values", op, [x], function(x))
    case("none", "Gelu", [x], F.gelu(x))
    case("tanh", "Gelu", [x], F.gelu(x, approximate="tanh"), approximate="tanh")
    case("alpha", "Elu", [x], F.elu(x, 0.75), alpha=0.75)
    case("alpha", "LeakyRelu", [x], F.leaky_relu(x, 0.125), alpha=0.125)
    case("a sixth", "HardSigmoid", [x], F.hardsigmoid(x), alpha=1 / 6, beta=0.5)
    channels, slope = values(2, 3, 4), values(3)
    case("slope of each channel", "PRelu", [channels, slope.reshape(3, 1)], F.prelu(channels, slope))
    halves = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4, -2.6])
    case("halves to even", "Round", [halves], torch.round(halves))
    case("both bounds", "Clip", [x, torch.tensor(-1.0), torch.tensor(2.0)], torch.clamp(x, -1.0, 2.0))
    a, b = values(3, 4), values(4)
    case("sign of the divisor", "Mod", [integers([7, -7, 7, -7]), integers([3, 3, -3, -3])],
         torch.remainder(integers([7, -7, 7, -7]), integers([3, 3, -3, -3])))
    case("sign of the dividend", "Mod", [a, b], torch.fmod(a, b), fmod=1)
    case("integers truncate", "Div", [integers([7, -7, 7]), integers([2, 2, -2])],
         torch.div(integers([7, -7, 7]), integers([2, 2, -2]), rounding_mode="trunc"))
    case("broadcast", "Pow", [a.abs(), b], a.abs() ** b)


def products():
    a, b = values(2, 1, 3, 4), values(3, 4, 2)
    case("stacks broadcast", "MatMul", [a, b], a @ b)
    a, b = values(3), values(2, 3, 4)
    case("vector by matrices", "MatMul", [a, b], a @ b)
    a, b = values(2, 4, 3), values(3)
    case("matrices by vector", "MatMul", [a, b], a @ b)
    a, b, c = values(4, 3), values(2, 4), values(3, 1)
    case("both transposed, scaled, bias of a column", "Gemm", [a, b, c], 0.5 * (a.T @ b.T) + 2 * c, transA=1, transB=1, alpha=0.5, beta=2.0)


def movements():
    x = values(2, 3, 4, 5)
    case("reflect", "Pad", [x, integers([0, 0, 2, 1, 0, 0, 1, 3])], F.pad(x, (1, 3, 2, 1), mode="reflect"), mode="reflect")
    case("edge", "Pad", [x, integers([0, 0, 2, 1, 0, 0, 1, 3])], F.pad(x, (1, 3, 2, 1), mode="replicate"), mode="edge")
    case("constant and cropped", "Pad", [x, integers([0, 0, 2, -1, 0, 0, 0, 3]), torch.tensor(0.5)],
         F.pad(x, (-1, 3, 2, 0), value=0.5))
    case("nearest, twice and three times", "Resize", [x, None, torch.tensor([1.0, 1.0, 2.0, 3.0])],
         F.interpolate(x, scale_factor=(2.0, 3.0), mode="nearest"),
         mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    case("nearest to an uneven size", "Resize", [x, None, None, integers([2, 3, 7, 3])],
         F.interpolate(x, size=(7, 3), mode="nearest"),
         mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    blocks = values(1, 8, 2, 3)
    case("channels first", "DepthToSpace", [blocks], F.pixel_shuffle(blocks, 2), blocksize=2, mode="CRD")
    case("flip", "Slice", [x, integers([-1]), integers([-100]), integers([2]), integers([-1])], torch.flip(x, (2,)))
    case("steps", "Slice", [x, integers([1, 3]), integers([100, 0]), integers([1, 3]), integers([2, -2])],
         x[:, 1::2][:, :, :, [3, 1]])
    case("order", "Transpose", [x], x.permute(2, 0, 3, 1), perm=[2, 0, 3, 1])
    case("repeats", "Tile", [x, integers([1, 2, 1, 2])], x.repeat(1, 2, 1, 2))
    index = integers([[0, 2, 1, 1], [2, 2, 0, 1]])
    rows = values(2, 4)
    table = values(3, 4)
    case("axis 0", "GatherElements", [table, index], torch.gather(table, 0, index), axis=0)
    case("added where indices repeat", "ScatterElements", [table, index, rows], table.scatter_add(0, index, rows), axis=0, reduction="add")
    case("axis 1", "Gather", [table, integers([[3, 0], [1, 1]])], table[:, [[3, 0], [1, 1]]], axis=1)
    case("tuples", "GatherND", [table, integers([[2, 3], [0, 1]])], table[[2, 0], [3, 1]])
    added = table.index_put((integers([1, 1, 0]),), values(3, 4) * 0 + 1, accumulate=True)
    case("rows added", "ScatterND", [table, integers([[1], [1], [0]]), torch.ones(3, 4)], added, reduction="add")
    case("upper", "Trilu", [table, integers(1)], torch.triu(table, 1))
    case("lower", "Trilu", [table], torch.tril(table), upper=0)
    case("classes", "OneHot", [integers([2, 0, 1]), integers(4), torch.tensor([0.0, 1.0])],
         F.one_hot(integers([2, 0, 1]), 4).to(torch.float64))
    case("along an axis", "CumSum", [x, integers(2)], torch.cumsum(x, 2))
    case("from the end, own left out", "CumSum", [table, integers(1)],
         torch.flip(torch.cumsum(torch.flip(table, (1,)), 1), (1,)) - table, reverse=1, exclusive=1)
    case("axes kept", "ReduceMean", [x, integers([1, 3])], x.mean((1, 3), keepdim=True))
    case("axes dropped", "ReduceSum", [x, integers([0, -1])], x.sum((0, 3)), keepdims=0)
    case("axes dropped", "ReduceMax", [x, integers([2])], x.amax(2), keepdims=0)
    case("axes dropped", "ReduceMin", [x, integers([2])], x.amin(2), keepdims=0)
    case("axes dropped", "ReduceProd", [x, integers([1])], x.prod(1), keepdims=0)
    case("all", "ReduceL2", [x], x.norm(), keepdims=0)
    case("axes kept", "ReduceLogSumExp", [x, integers([1])], torch.logsumexp(x, 1, keepdim=True))
    ties = tied(4, 5)
    first = torch.tensor([[int((row == row.max()).nonzero()[0])] for row in ties])
    case("the first of the largest", "ArgMax", [ties], first, axis=1)


corners = []


def corner(title, operators, function, *inputs):
    """The gradients of Σ seed · y, with y = function(inputs); `operators` are the same function in ONNX, one after the other."""
    leaves = [each.clone().requires_grad_() for each in inputs]
    y = function(*leaves)
    seed = values(*y.shape)
    y.backward(seed)
    corners.append(
        {
            "title": title,
            "operators": [{"op": op, "attributes": attributes} for op, attributes in operators],
            "inputs": [stored(each.detach()) for each in leaves],
            "output": stored(y.detach()),
            "seed": stored(seed),
            "gradients": [stored(each.grad) for each in leaves],
        }
    )


def gradients_at_corners():
    pool = {"kernel_shape": [2, 2], "strides": [2, 2]}
    overlapping = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}
    patches = {
        "small whole numbers": tied(2, 3, 8, 6),
        "a constant patch": torch.full((1, 2, 6, 6), 0.25),
        "zeros": torch.zeros(1, 1, 6, 6),
        "below zero": -tied(1, 2, 6, 8) - 1,
    }
    for name, x in patches.items():
        corner(f"2 by 2, {name}", [("MaxPool", pool)], lambda x: F.max_pool2d(x, 2), x)
        corner(f"3 by 3 overlapping, padded, {name}", [("MaxPool", overlapping)],
               lambda x: F.max_pool2d(x, 3, stride=2, padding=1), x)
        corner(f"after Relu, 2 by 2, {name}", [("Relu", {}), ("MaxPool", pool)], lambda x: F.max_pool2d(F.relu(x), 2), x - 1)
        corner(f"after Relu, overlapping, {name}", [("Relu", {}), ("MaxPool", overlapping)],
               lambda x: F.max_pool2d(F.relu(x), 3, stride=2, padding=1), x - 1)
    corner("dilated", [("MaxPool", {"kernel_shape": [2, 3], "dilations": [2, 1]})],
           lambda x: F.max_pool2d(x, (2, 3), stride=1, dilation=(2, 1)), tied(1, 2, 5, 6))
    corner("ties", [("GlobalMaxPool", {})], lambda x: F.adaptive_max_pool2d(x, 1), tied(2, 2, 3, 3))
    line = torch.tensor([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0])
    corner("at 0", [("Relu", {})], F.relu, line)
    corner("at 0", [("LeakyRelu", {"alpha": 0.25})], lambda x: F.leaky_relu(x, 0.25), line)
    corner("at 0", [("Abs", {})], torch.abs, line)
    corner("at 0", [("Elu", {"alpha": 0.5})], lambda x: F.elu(x, 0.5), line)
    corner("at -3 and 3", [("HardSwish", {})], F.hardswish, line)
    corner("at -3 and 3", [("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5})], F.hardsigmoid, line)
    corner("at 0", [("PRelu", {})], lambda x, a: F.prelu(x, a), line.reshape(1, 1, 7).expand(2, 1, 7), torch.tensor([0.5]))
    other = torch.tensor([-3.0, 0.0, -1.0, 0.0, 2.0, 2.0, -1.0])
    corner("ties", [("Max", {})], torch.maximum, line, other)
    corner("ties", [("Min", {})], torch.minimum, line, other)
    corner("square at 0", [("Mul", {})], lambda a, b: a * b, line, line)
    corner("at the bounds", [("Clip", {})], torch.clamp, line, torch.tensor(-2.0), torch.tensor(1.0))
    corner("at 0", [("Pow", {})], torch.pow, torch.tensor([0.0, 0, 0, 1, 2]), torch.tensor([0.0, 1, 2, 3, 0]))
    corner("at 0", [("ReduceL2", {"keepdims": 0})], torch.norm, torch.zeros(3))
    corner("at 0", [("ReduceL1", {"keepdims": 0})], lambda x: x.norm(1), line)
    rows = tied(4, 5)
    corner("ties", [("ReduceMax", {"keepdims": 1})], lambda x: x.amax((0, 1), keepdim=True), rows)
    corner("ties", [("ReduceMin", {"keepdims": 1})], lambda x: x.amin((0, 1), keepdim=True), rows)


convolutions()
pools()
normalizations()
activations()
products()
movements()
gradients_at_corners()
for name, content in [("torch.json", cases), ("corners.json", corners)]:
    path = pathlib.Path(__file__).parent.parent / "golden" / "interpreter" / name
    path.write_text("[\n" + ",\n".join(json.dumps(each, separators=(",", ":")) for each in content) + "\n]\n")
    print(f"{path.name}: {len(content)} cases, {path.stat().st_size} bytes")
