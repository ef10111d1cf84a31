"""Positions in a sequence, added to its features; attention by itself does not see the order of keys."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.autodiff.tensor import Tensor
from chainrule.errors import ShapeError
from chainrule.nn import init, weights
from chainrule.nn.module import Module
from chainrule.settings import number, whole


class LearnedPositions(Module):
    """y = x + the first t rows of a table (max_len, embedding_dim) that is learned, for x (batch, t, embedding_dim).

    Rows start from a normal distribution of standard deviation 0.02. Raises OptionError for sizes below 1, ShapeError
    for more than `max_len` steps or other features. Gehring et al., ICML 2017.

    >>> nn.LearnedPositions(100, 16)(np.zeros((2, 30, 16))).shape
    (2, 30, 16)
    """

    def __init__(self, max_len: int, embedding_dim: int) -> None:
        self.max_len = whole("LearnedPositions", "max_len", max_len)
        self.embedding_dim = whole("LearnedPositions", "embedding_dim", embedding_dim)
        self.weight = weights.constant((self.max_len, self.embedding_dim), 0.0)
        if self.weight.data.flags.writeable:
            init.normal(self.weight, std=0.02)

    def config(self) -> dict[str, Any]:
        return {"max_len": self.max_len, "embedding_dim": self.embedding_dim}

    def forward(self, x: Tensor) -> Tensor:
        _check("learned_positions", x, self.embedding_dim)
        if x.shape[1] > self.max_len:
            raise ShapeError(
                f"learned_positions: x has {x.shape[1]} steps, expected at most {self.max_len}: cut the sequences, or "
                f"build the layer with max_len={x.shape[1]}"
            )
        return x + self.weight[: x.shape[1]]


class SinusoidalPositions(Module):
    """y = x + (sin(t·f), cos(t·f)) by turns, f = base^(-2i/embedding_dim) for features 2i and 2i + 1 of step t.

    x is (batch, steps, embedding_dim), of any length. Raises OptionError for a size below 1 and a base that is not
    positive, ShapeError for other features. Vaswani et al., NeurIPS 2017.

    >>> nn.SinusoidalPositions(2)(np.zeros((1, 2, 2))).data.round(3).tolist()
    [[[0.0, 1.0], [0.841, 0.54]]]
    """

    def __init__(self, embedding_dim: int, base: float = 10000.0) -> None:
        self.embedding_dim = whole("SinusoidalPositions", "embedding_dim", embedding_dim)
        self.base = number("SinusoidalPositions", "base", base, above=0)

    def config(self) -> dict[str, Any]:
        return {"embedding_dim": self.embedding_dim, "base": self.base}

    def forward(self, x: Tensor) -> Tensor:
        _check("sinusoidal_positions", x, self.embedding_dim)
        feature = np.arange(self.embedding_dim)
        angles = np.arange(x.shape[1])[:, np.newaxis] * self.base ** (-(feature // 2 * 2) / self.embedding_dim)
        return x + np.where(feature % 2, np.cos(angles), np.sin(angles)).astype(x.dtype)


def _check(op: str, x: Tensor, size: int) -> None:
    if x.ndim != 3 or x.shape[2] != size:
        raise ShapeError(f"{op}: x has shape {x.shape}, expected (batch, steps, {size})")
