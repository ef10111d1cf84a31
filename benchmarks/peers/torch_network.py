"""The network of a workload in PyTorch as plain tensors and functional calls, shared by its two peers.

Layout "rows" is for networks without images; "nchw" is torch's own order of images, "nhwc" its channels_last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from benchmarks.networks import (
    Activation,
    BatchNorm,
    Convolution,
    Dropout,
    Flatten,
    GlobalAveragePool,
    Layer,
    Linear,
    Pool,
    Residual,
    Shape,
    output_shape,
)
from benchmarks.workloads import Workload

MOMENTUM, EPS = 0.1, 1e-5  # of batch normalization
# (weights, running statistics, activations) -> activations; weights and statistics are lists in the network's order
Step: TypeAlias = Callable[[list[Any], list[Any], Any], Any]


def layouts(workload: Workload) -> tuple[str, ...]:
    """The layouts worth trying."""
    return ("nchw", "nhwc") if workload.images else ("rows",)


class Network:
    """`network.loss(weights, statistics, x, y)`, and weights and rows in the layout it wants them in.

    Linear weights are stored (in, out) with `inputs_first`, else (out, in). Running means and variances are updated in
    place, or, with `pure`, the new ones are answered: `loss` is then (loss, statistics).
    """

    def __init__(self, torch: Any, workload: Workload, layout: str, inputs_first: bool, pure: bool) -> None:
        self.torch, self.workload, self.layout = torch, workload, layout
        self.inputs_first, self.pure = inputs_first, pure
        self.conversions: list[Callable[[Any], Any]] = []  # of each weight
        self.channels: list[int] = []  # of each batch normalization
        self.steps = self._plan(workload.layers, workload.shape)

    def weights(self, initial: list[np.ndarray]) -> list[Any]:
        """New tensors of the initial weights."""
        arrays = zip(self.conversions, initial, strict=True)
        return [convert(self.torch.from_numpy(a)).clone() for convert, a in arrays]

    def statistics(self) -> list[Any]:
        """Running mean and variance of each batch normalization, as they begin."""
        return [make(channels) for channels in self.channels for make in (self.torch.zeros, self.torch.ones)]

    def rows(self, x: np.ndarray) -> Any:
        """All rows as they are to be kept: channels_last images stay (n, h, w, c) until a batch has been gathered."""
        tensor = self.torch.from_numpy(x)
        return tensor.permute(0, 3, 1, 2).contiguous() if self.layout == "nchw" else tensor

    def loss(self, weights: list[Any], statistics: list[Any], x: Any, y: Any) -> Any:
        """Mean loss of one batch of `rows`."""
        functional = self.torch.nn.functional
        h, after = x.permute(0, 3, 1, 2) if self.layout == "nhwc" else x, list(statistics)
        for step in self.steps:
            h = step(weights, after, h)
        loss = functional.mse_loss(h, y) if self.workload.loss == "mse" else functional.cross_entropy(h, y)
        return (loss, after) if self.pure else loss

    def _plan(self, layers: tuple[Layer, ...], shape: Shape) -> list[Step]:
        steps: list[Step] = []
        flattened: Shape = ()
        for layer in layers:
            if isinstance(layer, Residual):
                steps.append(_residual(self._plan(layer.body, shape), self._plan(layer.shortcut, shape)))
            elif isinstance(layer, Linear):
                steps.append(self._linear(flattened))
            elif isinstance(layer, Convolution):
                steps.append(self._convolution(layer))
            elif isinstance(layer, BatchNorm):
                steps.append(self._batch_norm(layer))
            else:
                steps.append(self._weightless(layer))
            flattened = shape if isinstance(layer, Flatten) else ()
            shape = output_shape((layer,), shape)
        return steps

    def _linear(self, flattened: Shape) -> Step:
        at, inputs_first, linear = len(self.conversions), self.inputs_first, self.torch.nn.functional.linear

        def convert(weight: Any) -> Any:
            if flattened and self.layout == "nchw":  # what was flattened has its channels first
                weight = weight.reshape(*flattened, -1).permute(2, 0, 1, 3).reshape(weight.shape)
            return weight if inputs_first else weight.t().contiguous()

        self.conversions += [convert, _same]
        return lambda w, _, h: linear(h, w[at].t() if inputs_first else w[at], w[at + 1])

    def _convolution(self, layer: Convolution) -> Step:
        at, stride, padding = len(self.conversions), layer.stride, layer.padding
        conv2d = self.torch.nn.functional.conv2d
        order = self.torch.channels_last if self.layout == "nhwc" else self.torch.contiguous_format
        self.conversions.append(lambda weight: weight.permute(3, 2, 0, 1).contiguous(memory_format=order))
        if layer.bias:
            self.conversions.append(_same)
            return lambda w, _, h: conv2d(h, w[at], w[at + 1], stride, padding)
        return lambda w, _, h: conv2d(h, w[at], None, stride, padding)

    def _batch_norm(self, layer: BatchNorm) -> Step:
        torch, at, place = self.torch, len(self.conversions), 2 * len(self.channels)
        batch_norm = torch.nn.functional.batch_norm
        self.conversions += [_same, _same]
        self.channels.append(layer.channels)

        def in_place(w: list[Any], statistics: list[Any], h: Any) -> Any:
            mean, var = statistics[place : place + 2]
            return batch_norm(h, mean, var, w[at], w[at + 1], training=True, momentum=MOMENTUM, eps=EPS)

        def pure(w: list[Any], statistics: list[Any], h: Any) -> Any:
            # `torch.func` refuses to change captured tensors: the batch's own statistics come out instead.
            y, mean, rstd = torch.ops.aten._native_batch_norm_legit.no_stats(h, w[at], w[at + 1], True, MOMENTUM, EPS)
            mean, rstd = mean.detach().flatten(), rstd.detach().flatten()
            count = h.numel() // h.shape[1]
            var = (rstd**-2 - EPS) * (count / (count - 1))
            for k, new in enumerate((mean, var), place):
                statistics[k] = (1 - MOMENTUM) * statistics[k] + MOMENTUM * new
            return y

        return pure if self.pure else in_place

    def _weightless(self, layer: Layer) -> Step:
        torch = self.torch
        if isinstance(layer, Activation):
            activation = torch.tanh if layer.kind == "tanh" else torch.relu
            return lambda _, __, h: activation(h)
        if isinstance(layer, Pool):
            size, functional = layer.size, torch.nn.functional
            pool = functional.max_pool2d if layer.kind == "max" else functional.avg_pool2d
            return lambda _, __, h: pool(h, size)
        if isinstance(layer, Dropout):
            p = layer.p
            return lambda _, __, h: torch.nn.functional.dropout(h, p)
        if isinstance(layer, GlobalAveragePool):
            return lambda _, __, h: h.mean((2, 3))
        assert isinstance(layer, Flatten), f"unknown layer {layer}"
        if self.layout == "nhwc":  # in memory's own order, which copies nothing
            return lambda _, __, h: h.permute(0, 2, 3, 1).flatten(1)
        return lambda _, __, h: h.flatten(1)


def _residual(body: list[Step], shortcut: list[Step]) -> Step:
    def step(weights: list[Any], statistics: list[Any], h: Any) -> Any:
        found = other = h
        for inner in body:
            found = inner(weights, statistics, found)
        for inner in shortcut:
            other = inner(weights, statistics, other)
        return found + other

    return step


def _same(weight: Any) -> Any:
    return weight
