"""Convolutions of 40 random configurations equal torch's: definition and machine code, forward and all gradients."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

from chainrule import nn
from chainrule.engine.single import run_rule
from chainrule.ops.conv import conv2d
from chainrule.ops.conv_transpose import conv_transpose2d

TOLERANCE = {"float64": 1e-9, "float32": 1e-5}
NUMBERS = range(40)


class Draw:
    """One random convolution: its arrays and attributes, and torch's answers for them in float64."""

    def __init__(self, number):
        rng = np.random.default_rng(number)
        self.transposed = bool(rng.random() < 0.3)
        self.op = conv_transpose2d if self.transposed else conv2d
        groups = int(rng.choice([1, 1, 1, 2, 3]))
        inputs, outputs = (groups * int(n) for n in rng.choice([1, 2, 3, 5, 17, 33], 2))
        if rng.random() < 0.2:
            groups = inputs = outputs
        self.kernel, self.stride, self.dilation = (tuple(map(int, rng.integers(1, 4, 2))) for _ in range(3))
        self.padding = tuple(map(int, rng.integers(0, 3, 2)))
        reach = [d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]
        size = [max(1, r - 2 * p) + int(rng.integers(0, 9)) for r, p in zip(reach, self.padding, strict=True)]
        self.attributes = {
            "stride": self.stride,
            "padding": tuple((p, p) for p in self.padding),
            "dilation": self.dilation,
            "groups": groups,
        }
        self.options = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": groups}
        if self.transposed:
            size = [n + 2 * p for n, p in zip(size, self.padding, strict=True)]
            extra = tuple(int(rng.integers(0, max(s, d))) for s, d in zip(self.stride, self.dilation, strict=True))
            self.attributes["output_padding"] = self.options["output_padding"] = extra
        weight = (outputs // groups, inputs) if self.transposed else (inputs // groups, outputs)
        shapes = {"x": (int(rng.choice([1, 2, 19])), *size, inputs), "w": (*self.kernel, *weight), "b": (outputs,)}
        self.arrays = {name: rng.normal(size=shape) for name, shape in shapes.items()}
        if rng.random() < 0.3:
            self.arrays["b"] = None
        self.rng = rng
        self.expected = self.torch_answers()

    def torch_answers(self):
        leaves = {n: None if a is None else torch.tensor(a, requires_grad=True) for n, a in self.arrays.items()}
        function = F.conv_transpose2d if self.transposed else F.conv2d
        x, w, b = leaves.values()
        y = function(x.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1), b, **self.options).permute(0, 2, 3, 1)
        self.arrays["dy"] = self.rng.normal(size=tuple(y.shape))
        y.backward(torch.tensor(self.arrays["dy"]))
        gradients = {n: leaf.grad.numpy() for n, leaf in leaves.items() if leaf is not None}
        return {"y": y.detach().numpy(), **gradients}

    def rules(self):
        yield "y", self.op.forward
        yield from ((name, self.op.gradients[name]) for name in self.expected if name != "y")

    def operands(self, rule, dtype):
        found = (self.arrays[name] for name in rule.operands)
        return [None if a is None else a.astype(dtype) for a in found]

    def keywords(self, rule):
        shapes = {f"{n}_shape": a.shape for n, a in self.arrays.items() if a is not None}
        return {n: self.attributes.get(n, shapes.get(n)) for n in rule.attributes}


def assert_close(found, expected, dtype):
    scale = float(np.abs(expected).max(initial=0.0))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("number", NUMBERS)
def test_definition(number, dtype):
    draw = Draw(number)
    for name, rule in draw.rules():
        found = rule.definition(*draw.operands(rule, dtype), **draw.keywords(rule))
        assert_close(found, draw.expected[name], dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("number", NUMBERS)
def test_machine_code(number, dtype):
    draw = Draw(number)
    for name, rule in draw.rules():
        shape = draw.expected[name].shape
        (found,) = run_rule(draw.op, rule, draw.operands(rule, dtype), draw.keywords(rule), [shape], dtype, workers=2)
        assert_close(found, draw.expected[name], dtype)


SAME = {"padding": "same", "dilation": (2, 1)}
LAYERS = [
    (nn.Conv2d, torch.nn.Conv2d, (6, 4, 3), {"stride": 2, "padding": (1, 0)}),
    (nn.Conv2d, torch.nn.Conv2d, (6, 9, (4, 2)), {**SAME, "groups": 3, "bias": False}),
    (nn.ConvTranspose2d, torch.nn.ConvTranspose2d, (6, 4, 3, 2), {"padding": 1, "output_padding": 1, "groups": 2}),
    (nn.Conv1d, torch.nn.Conv1d, (6, 4, 4), {"padding": "same", "dilation": 2}),
    (nn.Conv1d, torch.nn.Conv1d, (6, 4, 3, 2), {"padding": 2, "groups": 2}),
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize(("ours", "theirs", "sizes", "options"), LAYERS)
def test_layers_take_the_same_arguments(ours, theirs, sizes, options):
    layer, other = ours(*sizes, **options), theirs(*sizes, **options)
    one_row = ours is nn.Conv1d
    axes = (2, 1, 0) if one_row else (3, 2, 0, 1)
    other.weight.data = torch.tensor(np.ascontiguousarray(layer.weight.data.transpose(axes)))
    assert layer.weight.data.std() == pytest.approx(float(theirs(*sizes, **options).weight.detach().std()), rel=0.3)
    if layer.bias is not None:
        other.bias.data = torch.tensor(layer.bias.data)
    x = np.random.default_rng(0).normal(size=(2, 9, 6) if one_row else (2, 8, 9, 6)).astype(np.float32)
    expected = other(torch.tensor(np.moveaxis(x, -1, 1))).detach().numpy()
    np.testing.assert_allclose(layer(x).data, np.moveaxis(expected, 1, -1), rtol=1e-5, atol=1e-6)
