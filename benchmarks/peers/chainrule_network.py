"""Networks in chainrule's own layers: built from a description, and described for others."""

from __future__ import annotations

from typing import Any

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
)


def build(layers: tuple[Layer, ...]) -> Any:
    """An `nn.Sequential` of the layers, whose parameters stand in the order of `networks.parameter_shapes`."""
    from chainrule import nn

    return nn.Sequential(*(_build(nn, layer) for layer in layers))


def describe(model: Any) -> tuple[Layer, ...]:
    """The layers of an `nn.Sequential`: the inverse of `build`. ValueError where a description has no words for it."""
    layers = _describe_all(model)
    if repr(build(layers)) != repr(model):  # some setting has no word
        raise ValueError(f"no words for all of {model!r}")
    return layers


def _build(nn: Any, layer: Layer) -> Any:
    if isinstance(layer, Linear):
        return nn.Linear(layer.inputs, layer.outputs)
    if isinstance(layer, Convolution):
        sizes = (layer.inputs, layer.outputs, layer.kernel, layer.stride, layer.padding)
        return nn.Conv2d(*sizes, bias=layer.bias)
    if isinstance(layer, BatchNorm):
        return nn.BatchNorm2d(layer.channels)
    if isinstance(layer, Residual):
        return nn.Residual(build(layer.body), *([build(layer.shortcut)] if layer.shortcut else []))
    if isinstance(layer, Pool):
        return nn.MaxPool2d(layer.size) if layer.kind == "max" else nn.AvgPool2d(layer.size)
    if isinstance(layer, Activation):
        return nn.Tanh() if layer.kind == "tanh" else nn.ReLU()
    if isinstance(layer, Dropout):
        return nn.Dropout(layer.p)
    return nn.Flatten() if isinstance(layer, Flatten) else nn.GlobalAvgPool2d()


def _describe_all(model: Any) -> tuple[Layer, ...]:
    return tuple(_describe(layer) for layer in model)


def _describe(layer: Any) -> Layer:
    kind = type(layer).__name__
    if kind == "Linear":
        return Linear(*layer.weight.shape)
    if kind == "Conv2d":
        (size, _), (stride, _) = layer.kernel_size, layer.stride
        return Convolution(
            layer.in_channels, layer.out_channels, size, stride, layer.padding, bias=layer.bias is not None
        )
    if kind == "BatchNorm2d":
        return BatchNorm(layer.num_features)
    if kind == "Residual":
        return Residual(_describe_all(layer.body), _describe_all(layer.shortcut) if layer.shortcut else ())
    if kind in ("MaxPool2d", "AvgPool2d"):
        return Pool("max" if kind == "MaxPool2d" else "mean", layer.kernel_size[0])
    if kind in ("Tanh", "ReLU"):
        return Activation(kind.lower())
    if kind == "Dropout":
        return Dropout(layer.p)
    if kind in ("Flatten", "GlobalAvgPool2d"):
        return Flatten() if kind == "Flatten" else GlobalAveragePool()
    raise ValueError(f"no word for {layer!r}")
