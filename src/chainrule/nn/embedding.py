"""Vectors that are learned for whole numbers: words, characters, categories."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from chainrule.autodiff import functions
from chainrule.autodiff.tensor import Parameter, Tensor, as_array
from chainrule.errors import ShapeError
from chainrule.native.memory import Array
from chainrule.nn import weights
from chainrule.nn.module import Module
from chainrule.settings import choice, flag, whole

MODES = ("mean", "sum", "max")


class Embedding(Module):
    """Row x of a table (num_embeddings, embedding_dim), the weight, for each whole number of x (...); y has shape
    (..., embedding_dim).

    Rows start from the standard normal distribution, row `padding_idx` as zeros, which do not change in training; a
    negative one counts from the end. An output layer shares the table as `linear(h, embedding.weight.T)`. Raises
    OptionError for sizes below 1, LabelError for an x outside 0 .. num_embeddings - 1 or of real numbers.

    >>> layer = nn.Embedding(10, 3)
    >>> layer([[1, 2, 4, 5], [4, 3, 2, 9]]).shape
    (2, 4, 3)
    >>> nn.Embedding(3, 2, padding_idx=0)([0]).numpy()
    array([[0., 0.]], dtype=float32)
    >>> layer([10])
    Traceback (most recent call last):
    chainrule.errors.LabelError: embedding: index 10 in row 0, expected 0 .. 9 as the table has 10 rows: ...
    """

    def __init__(self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None) -> None:
        kind = type(self).__name__
        self.num_embeddings = whole(kind, "num_embeddings", num_embeddings)
        self.embedding_dim = whole(kind, "embedding_dim", embedding_dim)
        self.padding_idx = _row(kind, padding_idx, self.num_embeddings)
        self.weight = _table(self.num_embeddings, self.embedding_dim, self.padding_idx)

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, **settings: Any) -> Self:
        """A layer whose table is a copy of `embeddings` (n, f); it is not trained unless `freeze` is False. The other
        settings are those of the layer, such as `padding_idx`.

        >>> nn.Embedding.from_pretrained([[1.0, 2.0], [3.0, 4.0]])([1]).numpy()
        array([[3., 4.]], dtype=float32)
        """
        table = _pretrained(cls.__name__, embeddings)
        layer = cls(*table.shape, **settings)
        layer.weight = Parameter(table, requires_grad=not flag(cls.__name__, "freeze", freeze))
        return layer

    def config(self) -> dict[str, Any]:
        sizes = {"num_embeddings": self.num_embeddings, "embedding_dim": self.embedding_dim}
        return sizes if self.padding_idx is None else {**sizes, "padding_idx": self.padding_idx}

    def forward(self, x: Tensor) -> Tensor:
        return functions.embedding(x, self.weight, -1 if self.padding_idx is None else self.padding_idx)


class EmbeddingBag(Embedding):
    """The mean, sum or maximum, by `mode`, of the rows of a table for the whole numbers of each bag, a row of x (n, t);
    y has shape (n, embedding_dim).

    Bags may differ in length: in training as a list of arrays, or filled up with `padding_idx`, which is left out. An
    empty bag gives zeros, as in torch. Table, initial values and errors are those of `nn.Embedding`.

    >>> bag = nn.EmbeddingBag(4, 2, padding_idx=0)
    >>> bag.weight.data[:] = [[0, 0], [1, 2], [3, 4], [5, 6]]
    >>> bag([[1, 3, 0], [2, 0, 0]]).numpy()
    array([[3., 4.],
           [3., 4.]], dtype=float32)
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, *, mode: str = "mean", padding_idx: int | None = None
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, padding_idx)
        self.mode = choice("EmbeddingBag", "mode", mode, MODES)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "mode": self.mode}

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != (2 if x.sequences is None else 1):
            raise ShapeError(f"embedding_bag: x has shape {x.shape}, expected (n, t), a bag of t numbers in each row")
        rows = super().forward(x)
        if x.sequences is not None:
            return self._of_sequences(rows)
        if self.padding_idx is None:
            return getattr(functions, self.mode)(rows, axis=1)  # type: ignore[no-any-return]
        kept = functions.not_equal(functions.as_real(x), self.padding_idx).reshape((*x.shape, 1))
        count = functions.sum(kept, axis=1)
        if self.mode == "max":
            largest = functions.max(functions.where(kept, rows, -np.inf), axis=1)
            return functions.where(count, largest, 0.0)
        total = functions.sum(rows * kept, axis=1)
        return total if self.mode == "sum" else total / functions.maximum(count, 1.0)

    def _of_sequences(self, rows: Tensor) -> Tensor:
        """The same for bags of different lengths."""
        if self.padding_idx is not None:
            raise ShapeError("embedding_bag: bags of different lengths have no padding: leave padding_idx out")
        pool = {"mean": functions.sequence_mean, "sum": functions.sequence_sum, "max": functions.sequence_max}
        return pool[self.mode](rows)


def _row(kind: str, padding_idx: Any, rows: int) -> int | None:
    """The row of padding, counted from 0."""
    if padding_idx is None:
        return None
    return whole(kind, "padding_idx", padding_idx, least=-rows, most=rows - 1) % rows


def _table(rows: int, columns: int, padding: int | None) -> Parameter:
    table = weights.normal((rows, columns))
    if padding is not None and table.data.flags.writeable:  # otherwise it was built without memory
        table.data[padding] = 0.0
    return table


def _pretrained(kind: str, embeddings: Any) -> Array:
    """A copy of a table in float32 or float64."""
    table = as_array(embeddings)
    if table.ndim != 2 or table.size == 0:
        raise ShapeError(f"{kind}: embeddings have shape {table.shape}, expected (rows, features) of at least one")
    return table.copy() if isinstance(embeddings, np.ndarray) and table.dtype.kind == "f" else table.astype(np.float32)
