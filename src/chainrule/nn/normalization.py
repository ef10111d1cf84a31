"""Normalization layers: over the batch, over each row, over groups of channels. Channels are the last axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.autodiff import functions
from chainrule.autodiff.state import assign
from chainrule.autodiff.tensor import Buffer, Parameter, Tensor
from chainrule.errors import OptionError, ShapeError
from chainrule.native.memory import Shape
from chainrule.nn import weights
from chainrule.nn.module import Module
from chainrule.settings import flag, number, whole


class _BatchNorm(Module):
    """Batch normalization for inputs with any number of axes."""

    layout = ""  # of the input, for messages
    axes: tuple[int, ...] = ()  # allowed numbers of input axes

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
    ) -> None:
        name = type(self).__name__
        self.num_features = whole(name, "num_features", num_features)
        self.eps = number(name, "eps", eps, least=0)
        self.momentum = None if momentum is None else number(name, "momentum", momentum, least=0, most=1)
        self.affine = flag(name, "affine", affine)
        self.track_running_stats = flag(name, "track_running_stats", track_running_stats)
        self._biased = flag(name, "bias", bias)
        self.weight, self.bias = _affine(self.num_features, affine, affine and bias)
        self.running_mean: Buffer | None = None
        self.running_var: Buffer | None = None
        self.num_batches_tracked: Buffer | None = None
        if track_running_stats:
            self.running_mean = weights.buffer((self.num_features,), 0.0, "running_mean")
            self.running_var = weights.buffer((self.num_features,), 1.0, "running_var")
            self.num_batches_tracked = weights.buffer((), 0.0, "num_batches_tracked")

    def config(self) -> dict[str, Any]:
        names = ("num_features", "eps", "momentum", "affine", "track_running_stats")
        return {**{name: getattr(self, name) for name in names}, "bias": self._biased}

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in self.axes or x.shape[-1] != self.num_features:
            raise ShapeError(
                f"batch_norm: x has shape {x.shape}, expected {self.layout.format(self.num_features)}: "
                f"build the layer with num_features={x.shape[-1] if x.shape else 1}, or reshape x"
            )
        scale, shift = _or_constants(self.weight, self.bias, x, self.num_features)
        if not self.training and self.running_mean is not None:
            return functions.normalize(x, scale, shift, self.running_mean, self.running_var, self.eps)
        count = x.size // self.num_features
        if count < 2:
            raise ShapeError(
                f"batch_norm: x has shape {x.shape}, one value per channel, and the statistics of a batch need two: "
                "pass a batch of more rows" + (", or evaluate with model.eval()" if self.training else "")
            )
        y, mean, variance = functions.batch_norm(x, scale, shift, self.eps)
        if self.training:
            self._follow(mean, variance * (count / (count - 1)))
        return y

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards those of a batch, using the unbiased variance."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        assign(self.num_batches_tracked, self.num_batches_tracked + 1.0)
        for running, value in ((self.running_mean, mean), (self.running_var, variance)):
            if self.momentum is None:
                assign(running, running + (value - running) / self.num_batches_tracked)
            else:
                assign(running, functions.lerp(running, value, self.momentum))


class BatchNorm1d(_BatchNorm):
    """Each feature of x (batch, features) or (batch, time, features) normalized to mean 0 and variance 1 over the rest.

    y = (x - mean)/√(variance + eps)·weight + bias, of the shape of x. In training, mean and (biased) variance are those
    of the batch, and running_mean and running_var follow them, r ← r + momentum·(batch's - r), using the unbiased
    variance; with momentum None they are averages over all batches. Evaluation uses the running statistics, or, without
    `track_running_stats`, those of the batch. Without `affine`, weight is 1 and bias 0; without `bias`, only bias is 0.

    Defaults are the same as in torch: eps 1e-5, momentum 0.1, affine, tracked, with bias. Features come last, and
    num_batches_tracked has the parameters' dtype, which in float32 counts to 2²⁴. Raises OptionError for invalid
    settings, ShapeError for x of another shape and for a training batch of one value per feature.
    Source: Ioffe and Szegedy, Batch normalization, ICML 2015.

    >>> layer = nn.BatchNorm1d(2)
    >>> layer(np.array([[1.0, 7.0], [3.0, 13.0]])).data.round(3).tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    >>> layer.running_mean.data.round(3)
    array([0.2, 1. ], dtype=float32)
    """

    layout = "(batch, {0}) or (batch, time, {0})"
    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Each channel of images x (batch, height, width, channels) normalized to mean 0 and variance 1 over the rest.

    Formula, settings, defaults and errors are the same as for `BatchNorm1d`.

    >>> nn.BatchNorm2d(16)(np.ones((2, 8, 8, 16), np.float32)).shape
    (2, 8, 8, 16)
    """

    layout = "(batch, height, width, {0})"
    axes = (4,)


class LayerNorm(Module):
    """Each row of x, that is its last axes `normalized_shape`, normalized to mean 0 and variance 1.

    y = (x - mean)/√(variance + eps)·weight + bias, of the shape of x; weight and bias have the row's shape. Training
    and evaluation are the same. Defaults are the same as in torch: eps 1e-5, with weight and bias. Without
    `elementwise_affine` there is neither; without `bias`, only the weight. Raises OptionError for invalid settings,
    ShapeError if the last axes of x are not `normalized_shape`.
    Source: Ba, Kiros and Hinton, Layer normalization, arXiv:1607.06450 (2016).

    >>> nn.LayerNorm(2)(np.array([[1.0, 3.0], [7.0, 13.0]])).data.round(3).tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """

    def __init__(
        self,
        normalized_shape: int | Shape,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
    ) -> None:
        self.normalized_shape = _sizes("LayerNorm", normalized_shape)
        self.eps = number("LayerNorm", "eps", eps, least=0)
        self.elementwise_affine = flag("LayerNorm", "elementwise_affine", elementwise_affine)
        self._biased = flag("LayerNorm", "bias", bias)
        self.weight, self.bias = _affine(self.normalized_shape, elementwise_affine, elementwise_affine and bias)

    def config(self) -> dict[str, Any]:
        return {
            "normalized_shape": self.normalized_shape,
            "eps": self.eps,
            "elementwise_affine": self.elementwise_affine,
            "bias": self._biased,
        }

    def forward(self, x: Tensor) -> Tensor:
        _check_rows("layer_norm", x, self.normalized_shape)
        scale, shift = _or_constants(self.weight, self.bias, x, self.normalized_shape)
        return functions.layer_norm(x, scale, shift, self.eps)


class RMSNorm(Module):
    """Each row of x, that is its last axes `normalized_shape`, brought to a mean square of 1.

    y = x/√(mean(x²) + eps)·weight, of the shape of x; the weight has the row's shape, and there is none
    without `elementwise_affine`. As in torch, eps is the dtype's machine epsilon if it is None. Raises OptionError for
    invalid settings, ShapeError if the last axes of x are not `normalized_shape`.
    Source: Zhang and Sennrich, Root mean square layer normalization, NeurIPS 2019.

    >>> nn.RMSNorm(2)(np.array([[1.0, 7.0], [-1.0, 1.0]])).data.astype(float).round(3).tolist()
    [[0.2, 1.4], [-1.0, 1.0]]
    """

    def __init__(
        self, normalized_shape: int | Shape, eps: float | None = None, elementwise_affine: bool = True
    ) -> None:  # fmt: skip
        self.normalized_shape = _sizes("RMSNorm", normalized_shape)
        self.eps = None if eps is None else number("RMSNorm", "eps", eps, least=0)
        self.elementwise_affine = flag("RMSNorm", "elementwise_affine", elementwise_affine)
        self.weight, _ = _affine(self.normalized_shape, elementwise_affine, False)

    def config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("normalized_shape", "eps", "elementwise_affine")}

    def forward(self, x: Tensor) -> Tensor:
        _check_rows("rms_norm", x, self.normalized_shape)
        scale = np.ones(self.normalized_shape, x.dtype) if self.weight is None else self.weight
        eps = float(np.finfo(x.dtype).eps) if self.eps is None else self.eps
        return functions.rms_norm(x, scale, eps)


class GroupNorm(Module):
    """Each group of adjacent channels of each sample of x (batch, ..., channels) normalized to mean 0 and variance 1.

    y = (x - mean)/√(variance + eps)·weight + bias, of the shape of x; weight and bias have one value per channel; they
    are 1 and 0 without `affine`, and bias is 0 without `bias`. It does not depend on the batch, so it suits small
    batches. Defaults are the same as in torch: eps 1e-5, affine, with bias. Raises OptionError if num_groups does not
    divide num_channels, ShapeError if x has another number of channels.
    Source: Wu and He, Group normalization, ECCV 2018.

    >>> nn.GroupNorm(4, 16)(np.ones((2, 8, 8, 16), np.float32)).shape
    (2, 8, 8, 16)
    """

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, *, bias: bool = True
    ) -> None:
        self.num_groups = whole("GroupNorm", "num_groups", num_groups)
        self.num_channels = whole("GroupNorm", "num_channels", num_channels)
        if self.num_channels % self.num_groups:
            raise OptionError(
                f"GroupNorm: num_groups is {num_groups}, expected a divisor of the {num_channels} channels"
            )
        self.eps = number("GroupNorm", "eps", eps, least=0)
        self.affine = flag("GroupNorm", "affine", affine)
        self._biased = flag("GroupNorm", "bias", bias)
        self.weight, self.bias = _affine(self.num_channels, affine, affine and bias)

    def config(self) -> dict[str, Any]:
        names = ("num_groups", "num_channels", "eps", "affine")
        return {**{name: getattr(self, name) for name in names}, "bias": self._biased}

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2 or x.shape[-1] != self.num_channels:
            raise ShapeError(
                f"group_norm: x has shape {x.shape}, expected (batch, ..., {self.num_channels}): "
                f"build the layer with num_channels={x.shape[-1] if x.shape else 1}"
            )
        scale, shift = _or_constants(self.weight, self.bias, x, self.num_channels)
        return functions.group_norm(x, self.num_groups, scale, shift, self.eps)


def _sizes(kind: str, normalized_shape: int | Shape) -> Shape:
    """The axes of a row: one size or several."""
    sizes = normalized_shape if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
    if not sizes:
        raise OptionError(f"{kind}: normalized_shape is (), expected a size or several")
    return tuple(whole(kind, "normalized_shape", size) for size in sizes)


def _check_rows(op: str, x: Tensor, row: Shape) -> None:
    if x.shape[-len(row) :] != row:
        raise ShapeError(
            f"{op}: x has shape {x.shape}, expected the last axes to be {row}: build the layer for the shape of x"
        )


def _affine(shape: int | Shape, scaled: bool, shifted: bool) -> tuple[Parameter | None, Parameter | None]:
    """Weight, which starts at 1, and bias, which starts at 0, or None for one that is not wanted."""
    shape = (shape,) if isinstance(shape, int) else shape
    return weights.constant(shape, 1.0) if scaled else None, weights.constant(shape, 0.0) if shifted else None


def _or_constants(weight: Tensor | None, bias: Tensor | None, x: Tensor, shape: int | Shape) -> tuple[Any, Any]:
    """Weight and bias, or ones and zeros if they are None."""
    scale = np.ones(shape, x.dtype) if weight is None else weight
    return scale, np.zeros(shape, x.dtype) if bias is None else bias
