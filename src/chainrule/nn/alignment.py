"""Attention of recurrent decoders to the states of an encoder: Bahdanau's and Luong's."""

from __future__ import annotations

from typing import Any

from chainrule.autodiff import functions
from chainrule.autodiff.attention import bias_of
from chainrule.autodiff.tensor import Tensor
from chainrule.errors import OptionError, ShapeError
from chainrule.nn.linear import Linear
from chainrule.nn.module import Module
from chainrule.settings import choice, whole


class BahdanauAttention(Module):
    """Additive attention: the mean of values with shares softmax(vᵀ·tanh(W·q + U·k)) over the keys.

    query is (n, query_size) or (n, t, query_size), keys (n, s, key_size), values (n, s, e), the keys unless given; the
    result is (n, e) or (n, t, e). key_padding_mask (n, s) is True for keys that must not be seen, or numbers to add to
    scores. `shares` returns the shares themselves, (n, s) or (n, t, s). Raises OptionError for sizes below 1,
    ShapeError for arrays that do not fit. Bahdanau, Cho and Bengio, ICLR 2015.

    >>> layer = nn.BahdanauAttention(16, 32, hidden_size=8)
    >>> layer(np.ones((2, 16)), np.ones((2, 5, 32))).shape
    (2, 32)
    """

    def __init__(self, query_size: int, key_size: int, hidden_size: int) -> None:
        self.query_size = whole("BahdanauAttention", "query_size", query_size)
        self.key_size = whole("BahdanauAttention", "key_size", key_size)
        self.hidden_size = whole("BahdanauAttention", "hidden_size", hidden_size)
        self.query = Linear(self.query_size, self.hidden_size)
        self.key = Linear(self.key_size, self.hidden_size, bias=False)
        self.energy = Linear(self.hidden_size, 1, bias=False)

    def config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("query_size", "key_size", "hidden_size")}

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor | None = None, *, key_padding_mask: Any = None
    ) -> Tensor:  # fmt: skip
        shares = self.shares(query, keys, key_padding_mask)
        values = keys if values is None else values
        if query.ndim == 3:
            return functions.matmul(shares, values)
        return functions.matmul(shares[:, None], values)[:, 0]

    def shares(self, query: Tensor, keys: Tensor, key_padding_mask: Any = None) -> Tensor:
        """The share of each key."""
        _check("bahdanau_attention", query, keys, self.query_size, self.key_size)
        q, k = self.query(query), self.key(keys)
        q = q[:, :, None] if query.ndim == 3 else q[:, None, None]
        scores = self.energy(functions.tanh(q + k[:, None]))
        return _softmax(scores.reshape(scores.shape[:-1]), query, key_padding_mask)


class LuongAttention(Module):
    """Multiplicative attention: the mean of values with shares softmax(q·W·k) over the keys, or softmax(q·k).

    `score` is "general", with a weight, or "dot", for queries as long as keys. Arguments of a call, and `shares`, are
    those of `nn.BahdanauAttention`. Raises OptionError for invalid settings, ShapeError for arrays that do not fit.
    Luong, Pham and Manning, EMNLP 2015.

    >>> layer = nn.LuongAttention(16, 32)
    >>> layer(np.ones((2, 7, 16)), np.ones((2, 5, 32))).shape
    (2, 7, 32)
    """

    def __init__(self, query_size: int, key_size: int, score: str = "general") -> None:
        self.query_size = whole("LuongAttention", "query_size", query_size)
        self.key_size = whole("LuongAttention", "key_size", key_size)
        self.score = choice("LuongAttention", "score", score, ("general", "dot"))
        if self.score == "dot" and self.query_size != self.key_size:
            raise OptionError(
                f'LuongAttention: query_size is {self.query_size}, key_size {self.key_size}: score="dot" needs equal '
                'sizes, use "general"'
            )
        self.weight = Linear(self.query_size, self.key_size, bias=False) if self.score == "general" else None

    def config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("query_size", "key_size", "score")}

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor | None = None, *, key_padding_mask: Any = None
    ) -> Tensor:  # fmt: skip
        q, values = self._queries(query, keys), keys if values is None else values
        n, s, _ = keys.shape
        bias = None if key_padding_mask is None else _bias(key_padding_mask, n, s).reshape((n, 1, 1, s))
        y = functions.attention(q, keys, values, bias, scale=1.0)
        return y if query.ndim == 3 else y[:, 0]

    def shares(self, query: Tensor, keys: Tensor, key_padding_mask: Any = None) -> Tensor:
        """The share of each key."""
        scores = functions.matmul(self._queries(query, keys), keys.transpose(0, 2, 1))
        return _softmax(scores, query, key_padding_mask)

    def _queries(self, query: Tensor, keys: Tensor) -> Tensor:
        """The queries (n, t, key_size)."""
        _check("luong_attention", query, keys, self.query_size, self.key_size)
        q: Tensor = query if self.weight is None else self.weight(query)
        return q if q.ndim == 3 else q[:, None]


def _check(op: str, query: Tensor, keys: Tensor, query_size: int, key_size: int) -> None:
    fits = query.ndim in (2, 3) and query.shape[-1] == query_size
    if not fits or keys.ndim != 3 or keys.shape[2] != key_size or keys.shape[0] != query.shape[0]:
        raise ShapeError(
            f"{op}: query has shape {query.shape}, keys {keys.shape}, expected (n, {query_size}) or "
            f"(n, t, {query_size}), and (n, s, {key_size})"
        )


def _bias(mask: Any, n: int, keys: int) -> Any:
    """What a mask of keys adds to scores, (n, 1, s)."""
    bias = bias_of("attention", mask, shown=False)
    if bias.shape != (n, keys):
        raise ShapeError(
            f"attention: key_padding_mask has shape {bias.shape}, expected ({n}, {keys}), sequences and keys"
        )
    return bias.reshape((n, 1, keys))


def _softmax(scores: Tensor, query: Tensor, mask: Any) -> Tensor:
    """Shares (n, s) or (n, t, s), as the query, of scores (n, t, s)."""
    if mask is not None:
        scores = scores + _bias(mask, scores.shape[0], scores.shape[2])
    return functions.softmax(scores if query.ndim == 3 else scores[:, 0])
