"""The networks of the comparison, described once in a few words that every peer builds its own layers from."""

from benchmarks.networks.layers import (
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
    matmul_flops,
    other_flops,
    output_shape,
    parameter_arrays,
    parameter_shapes,
)

__all__ = [
    "Activation",
    "BatchNorm",
    "Convolution",
    "Dropout",
    "Flatten",
    "GlobalAveragePool",
    "Layer",
    "Linear",
    "Pool",
    "Residual",
    "Shape",
    "matmul_flops",
    "other_flops",
    "output_shape",
    "parameter_arrays",
    "parameter_shapes",
]
