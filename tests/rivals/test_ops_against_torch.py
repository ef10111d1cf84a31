"""Every op equals torch's: values and gradients, in float64 to 1e-9 and in float32 to 1e-5 of the largest element."""

import importlib
import pkgutil
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

import chainrule.ops
from chainrule.autodiff.apply import apply
from chainrule.autodiff.backward import gradients
from chainrule.autodiff.tensor import Tensor
from chainrule.ops.dropout import mask, scale_of
from chainrule.ops.record import OPS

for module in pkgutil.iter_modules(chainrule.ops.__path__):
    importlib.import_module(f"chainrule.ops.{module.name}")

TOLERANCE = {np.float64: 1e-9, np.float32: 1e-5}


def weighted(losses, weight, counts, reduction):
    """The sum of wᵢ·ℓᵢ, divided for "mean" by that of wᵢ times what each loss counts for."""
    w = torch.ones(()) if weight is None else weight.reshape(weight.shape + (1,) * (losses.ndim - weight.ndim))
    total = (losses * w).sum()
    return total if reduction == "sum" else total / (w * counts * torch.ones_like(losses)).sum()


def elementwise(loss):
    def function(x, t, weight, *, reduction, **options):
        return weighted(loss(x, t, reduction="none", **options), weight, torch.ones(()), reduction)

    return function


def by_sequence(x, offsets, pool):
    parts = [x[a:b] for a, b in pairwise(offsets)]
    nothing = (x * 0.0).sum(0)  # of a sequence without steps
    return torch.stack([pool(part) if len(part) else nothing for part in parts]) if parts else x[:0]


def cross_entropy(x, labels, weight, class_weights, *, label_smoothing, reduction, ignore_index):
    flat = F.cross_entropy(
        x.reshape(-1, x.shape[-1]), labels.reshape(-1), class_weights, reduction="none",
        label_smoothing=label_smoothing, ignore_index=ignore_index,
    )  # fmt: skip
    kept = labels != ignore_index
    counts = kept * (torch.ones(()) if class_weights is None else class_weights[torch.where(kept, labels, 0)])
    return weighted(flat.reshape(labels.shape), weight, counts, reduction)


def binary_cross_entropy(x, t, weight, positive_weights, *, reduction):
    losses = F.binary_cross_entropy_with_logits(x, t, pos_weight=positive_weights, reduction="none")
    return weighted(losses, weight, torch.ones(()), reduction)


def dropout(x, *, p, number, seed, step):
    return x * torch.tensor(mask(tuple(x.shape), p, number, seed, step)) * scale_of(p)


def slice_(x, *, index):
    for axis, part in reversed(list(enumerate(index))):  # torch has no negative steps
        if isinstance(part, slice):
            x = x.index_select(axis, torch.tensor(range(x.shape[axis])[part], dtype=torch.int64))
        else:
            x = x.select(axis, part)
    return x


def batch_norm(x, scale, shift, *, eps):
    """torch refuses one value per channel: there, y is the shift."""
    return normalized(x, scale, shift, tuple(range(x.ndim - 1)), eps)


def normalized(x, scale, shift, axes, eps):
    """By the formula, as autograd differentiates it; an empty array stays what it is."""
    if axes and x.numel():
        mean, variance = x.mean(axes, keepdim=True), x.var(axes, correction=0, keepdim=True)
    else:
        mean, variance = x, torch.zeros_like(x)
    return (x - mean) / torch.sqrt(variance + eps) * scale + shift


def normalize(x, scale, shift, mean, variance, *, eps):
    return (x - mean) / torch.sqrt(variance.to(x.dtype) + eps) * scale + shift


def layer_norm(x, scale, shift, *, eps):
    if scale.numel() == 1:  # a value alone is its own mean: torch's gradient is what rounding left over
        return x * 0 + scale * 0 + shift
    return F.layer_norm(x, scale.shape, scale, shift, eps)


def group_norm(x, scale, shift, *, groups, eps):
    if x.numel() == 1:
        return x * 0 + scale * 0 + shift
    return F.group_norm(x.movedim(-1, 1), groups, scale, shift, eps).movedim(1, -1)


def dropout_channels(x, *, p, number, seed, step):
    kept = mask((x.shape[0], x.shape[-1]), p, number, seed, step)
    return x * torch.tensor(kept).reshape(x.shape[0], *[1] * (x.ndim - 2), x.shape[-1]) * scale_of(p)


def over_all(function):
    """A reduction over `axis`, where torch has no tuple for all axes or for none of them."""

    def reduce(x, *, axis, keepdims):
        return x if axis == () else function(x, tuple(range(x.ndim)) if axis is None else axis, keepdims)

    return reduce


def on_images(function):
    """A function of torch's images (n, c, h, w), applied to ours."""
    return lambda x, **attributes: function(x.permute(0, 3, 1, 2), **attributes).permute(0, 2, 3, 1)


def framed(x, padding, fill):
    """torch pads both sides of an axis alike, ours may differ."""
    (top, bottom), (left, right) = padding
    return F.pad(x, (left, right, top, bottom), value=fill)


@on_images
def max_pool2d(x, *, kernel, stride, padding, dilation, ceil_mode):
    if all(before == after for before, after in padding):
        return F.max_pool2d(x, kernel, stride, [before for before, _ in padding], dilation, ceil_mode)
    return F.max_pool2d(framed(x, padding, -torch.inf), kernel, stride, 0, dilation, ceil_mode)


@on_images
def avg_pool2d(x, *, kernel, stride, padding, ceil_mode, count_include_pad):
    return F.avg_pool2d(x, kernel, stride, [before for before, _ in padding], ceil_mode, count_include_pad)


def images(function, layout):
    """A convolution of torch's on our images (n, h, w, c), padded beforehand; `layout` is the order of our weights."""

    def convolve(x, w, b, *, padding, **attributes):
        (top, bottom), (left, right) = padding
        x = x.permute(0, 3, 1, 2)
        if function is F.conv2d:
            return function(F.pad(x, (left, right, top, bottom)), w.permute(layout), b, **attributes).permute(
                0, 2, 3, 1
            )
        y = function(x, w.permute(layout), b, **attributes)
        return y[:, :, top : y.shape[2] - bottom, left : y.shape[3] - right].permute(0, 2, 3, 1)

    return convolve


def with_number(function):
    """A function of two tensors, the second full of a number."""
    return lambda a, *, b: function(a, torch.full_like(a, b))


TORCH = {
    "adaptive_avg_pool2d": on_images(lambda x, *, size: F.adaptive_avg_pool2d(x, size)),
    "avg_pool2d": avg_pool2d,
    "max_pool2d": max_pool2d,
    "upsample_nearest": on_images(lambda x, *, scale: F.interpolate(x, scale_factor=scale, mode="nearest")),
    "zero_pad2d": on_images(lambda x, *, padding: framed(x, padding, 0.0)),
    "absolute": torch.abs,
    "add": torch.add,
    "batch_norm": batch_norm,
    "binary_cross_entropy": binary_cross_entropy,
    "broadcast": lambda x, *, shape: torch.broadcast_to(x, shape),
    "clip": lambda x, *, low, high: torch.clamp(x, low, high),
    "concatenate": lambda a, b, *, axis: torch.cat((a, b), axis),
    "conv2d": images(F.conv2d, (3, 2, 0, 1)),
    "conv_transpose2d": images(F.conv_transpose2d, (3, 2, 0, 1)),
    "cross_entropy": cross_entropy,
    "divide": torch.div,
    "divide_number": with_number(torch.div),
    "dropout": dropout,
    "dropout_channels": dropout_channels,
    "elu": lambda x, *, alpha: F.elu(x, alpha),
    "equal": torch.eq,
    "equal_number": with_number(torch.eq),
    "exp": torch.exp,
    "gelu": F.gelu,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "greater_equal_number": with_number(torch.ge),
    "greater_number": with_number(torch.gt),
    "group_norm": group_norm,
    "huber": elementwise(F.huber_loss),
    "layer_norm": layer_norm,
    "leaky_relu": lambda x, *, slope: F.leaky_relu(x, slope),
    "lerp": lambda a, b, *, weight: torch.lerp(a, b, weight),
    "less": torch.lt,
    "less_equal": torch.le,
    "less_equal_number": with_number(torch.le),
    "less_number": with_number(torch.lt),
    "linear": lambda x, w, b: F.linear(x, w.T, b),
    "log": torch.log,
    "log_softmax": lambda x: F.log_softmax(x, -1),
    "matmul": torch.matmul,
    "max": over_all(torch.amax),
    "maximum": torch.maximum,
    "maximum_number": with_number(torch.maximum),
    "mean": over_all(torch.mean),
    "mean_absolute": elementwise(F.l1_loss),
    "mean_squared": elementwise(F.mse_loss),
    "minimum": torch.minimum,
    "minimum_number": with_number(torch.minimum),
    "multiply": torch.mul,
    "negative": torch.neg,
    "number_divide": lambda b, *, a: a / b,
    "number_where": lambda condition, b, *, a: torch.where(condition != 0, a, b),
    "normalize": normalize,
    "power": lambda x, *, exponent: torch.pow(x, exponent),
    "relu": F.relu,
    "reshape": lambda x, *, shape: torch.reshape(x, shape),
    "scale": lambda x, *, factor: x * factor,
    "shift": lambda x, *, offset: x + offset,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "slice_": slice_,
    "sequence_last": lambda x, offsets: by_sequence(x, offsets, lambda part: part[-1]),
    "sequence_max": lambda x, offsets: by_sequence(x, offsets, lambda part: part.amax(0)),
    "sequence_mean": lambda x, offsets: by_sequence(x, offsets, lambda part: part.mean(0)),
    "sequence_sum": lambda x, offsets: by_sequence(x, offsets, lambda part: part.sum(0)),
    "softmax": lambda x: F.softmax(x, -1),
    "as_real": lambda x: x,
    "embedding": lambda index, table, *, padding_idx: F.embedding(
        index, table, None if padding_idx < 0 else padding_idx
    ),
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),  # F.softplus is x itself above 20
    "softsign": F.softsign,
    "sqrt": torch.sqrt,
    "subtract": torch.sub,
    "sum": over_all(torch.sum),
    "tanh": torch.tanh,
    "transpose": lambda x, *, axes: torch.permute(x, axes),
    "where": lambda condition, a, b: torch.where(condition != 0, a, b),
    "where_number": lambda condition, a, *, b: torch.where(condition != 0, a, b),
}

# Ops of several outputs or settings of their own: compared in test_recurrent_against_torch.py,
# test_attention_against_torch.py and test_transformers_against_torch.py.
ELSEWHERE = ("attention", "gru", "lstm", "rms_norm", "rnn", "rotary")
CASES = [
    pytest.param(op, sample, id=f"{name}-{number}")
    for name, op in sorted(OPS.items())
    for number, sample in enumerate(op.samples)
    if sample.error is None and name not in ELSEWHERE
]


def test_every_op_has_a_counterpart():
    assert sorted([*TORCH, *ELSEWHERE]) == sorted(OPS)


def arrays_of(op, sample, dtype, rng):
    """The sample's inputs: shapes drawn from a normal, reals in `dtype`, whole numbers and None as they are."""
    for value in sample.shapes:
        if value is None:
            yield None
            continue
        array = rng.normal(size=value) if isinstance(value, tuple) else np.asarray(value)
        if isinstance(value, tuple) and sample.domain is not None:
            array = sample.domain(array)
        yield array.astype(dtype) if array.dtype.kind == "f" else array


def assert_close(ours, theirs, dtype):
    expected = theirs.detach().numpy()
    assert ours.shape == expected.shape
    assert ours.dtype == dtype
    finite = expected[np.isfinite(expected)]
    scale = float(np.abs(finite).max(initial=0.0))
    np.testing.assert_allclose(ours, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale)


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize(("op", "sample"), CASES)
def test_values_and_gradients(op, sample, dtype):
    rng = np.random.default_rng(0)
    arrays = list(arrays_of(op, sample, dtype, rng))
    if all(array is None or array.dtype.kind == "i" for array in arrays):
        dtype = np.float32  # an op computes in it if nothing is real
    learned = [array is not None and name in op.gradients for name, array in zip(op.inputs, arrays, strict=False)]
    ours = [None if a is None else Tensor(a, requires_grad=g) for a, g in zip(arrays, learned, strict=True)]
    theirs = [None if a is None else torch.tensor(a, requires_grad=g) for a, g in zip(arrays, learned, strict=True)]
    y, expected = (
        apply(op, *ours, **sample.attributes),
        TORCH[op.name](*theirs, **sample.attributes).to(torch.float64 if dtype is np.float64 else torch.float32),
    )
    assert_close(y.data, expected, dtype)
    if not any(learned):
        return
    dy = rng.normal(size=y.shape).astype(dtype)
    wanted = [t for t, g in zip(ours, learned, strict=True) if g]
    asked = [t for t, g in zip(theirs, learned, strict=True) if g]
    expected.backward(torch.tensor(dy))
    for gradient, leaf in zip(gradients(y, wanted, dy), asked, strict=True):
        assert_close(gradient, leaf.grad, dtype)
