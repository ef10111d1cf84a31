"""Pooling with random windows equals torch's, on images with ties and NaN: values, and who has the gradient."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

from chainrule.autodiff import functions
from chainrule.autodiff.backward import gradients
from chainrule.autodiff.tensor import Tensor


def draw(rng):
    """Kernel, stride, padding and dilation that torch takes."""
    kernel, stride = rng.integers(1, 5, 2), rng.integers(1, 5, 2)
    dilation = rng.integers(1, 3, 2)
    padding = [int(rng.integers(0, k // 2 + 1)) for k in kernel]
    return tuple(map(int, kernel)), tuple(map(int, stride)), tuple(padding), tuple(map(int, dilation))


def channels_last(x):
    return torch.tensor(x).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last).requires_grad_()


def compare(ours, theirs, x, leaf, image, rng):
    expected = theirs.detach().permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(ours.data, expected, rtol=1e-6, atol=1e-6)
    dy = rng.normal(size=ours.shape).astype(np.float32)
    theirs.backward(torch.tensor(dy).permute(0, 3, 1, 2))
    (dx,) = gradients(ours, [x], dy)
    np.testing.assert_allclose(dx, leaf.grad.permute(0, 2, 3, 1).numpy(), atol=1e-5)
    assert image.shape == dx.shape


@pytest.mark.parametrize("nan", [False, True], ids=["ties", "nan"])
@pytest.mark.parametrize("number", range(40))
def test_max_pooling(number, nan):
    rng = np.random.default_rng(number)
    kernel, stride, padding, dilation = draw(rng)
    ceil_mode = bool(rng.integers(2))
    image = rng.integers(0, 4, (2, *rng.integers(9, 14, 2), rng.integers(1, 20))).astype(np.float32)
    if nan:
        image[rng.random(image.shape) < 0.05] = np.nan
    x, leaf = Tensor(image, requires_grad=True), channels_last(image)
    ours = functions.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
    compare(ours, F.max_pool2d(leaf, kernel, stride, padding, dilation, ceil_mode), x, leaf, image, rng)


@pytest.mark.parametrize("number", range(40))
def test_average_pooling(number):
    rng = np.random.default_rng(number)
    kernel, stride, padding, _ = draw(rng)
    settings = (bool(rng.integers(2)), bool(rng.integers(2)))
    image = rng.normal(size=(2, *rng.integers(4, 14, 2), rng.integers(1, 20))).astype(np.float32)
    x, leaf = Tensor(image, requires_grad=True), channels_last(image)
    ours = functions.avg_pool2d(x, kernel, stride, padding, *settings)
    compare(ours, F.avg_pool2d(leaf, kernel, stride, padding, *settings), x, leaf, image, rng)
    size = tuple(int(n) for n in rng.integers(1, 9, 2))
    ours, leaf.grad = functions.adaptive_avg_pool2d(x, size), None
    compare(ours, F.adaptive_avg_pool2d(leaf, size), x, leaf, image, rng)
