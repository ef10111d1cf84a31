"""Attention: several heads over queries, keys and values."""

from __future__ import annotations

from typing import Any

from chainrule.autodiff import functions
from chainrule.autodiff.attention import bias_of
from chainrule.autodiff.tensor import Parameter, Tensor
from chainrule.errors import OptionError, ShapeError
from chainrule.nn import weights
from chainrule.nn.linear import Linear
from chainrule.nn.module import Module
from chainrule.settings import flag, number, whole

NAMES = ("embed_dim", "num_heads", "dropout", "kdim", "vdim", "rotary_base")


class MultiheadAttention(Module):
    """Attention with several heads: y = (softmax(q·kᵀ/√size)·v of each head, side by side)·W + b.

    Queries q, keys k and values v are products of query, key and value with a weight each. query is (n, t, embed_dim),
    key (n, s, kdim) and value (n, s, vdim), y (n, t, embed_dim); key defaults to query, value to key, and the layer
    then makes all three with one product. The scores of all queries with all keys are never kept, so memory grows with
    t + s. Names and initial values are torch's; batches come first, weights are (in, out), and y comes alone, without
    the shares. `dropout` is that of shares, in training.

    causal             query i sees keys 0 to i
    attn_mask          (t, s) or (n·num_heads, t, s): booleans, True where a query must not see a key, or numbers to
                       add to scores
    key_padding_mask   (n, s): the same for each key of a sequence

    Raises OptionError for invalid settings, ShapeError for arrays that do not fit. Vaswani et al., NeurIPS 2017.

    >>> layer = nn.MultiheadAttention(128, 4)
    >>> x = np.ones((2, 10, 128))
    >>> layer(x, x, x, causal=True).shape
    (2, 10, 128)
    >>> list(layer.named_parameters())
    ['in_proj_weight', 'in_proj_bias', 'out_proj.weight', 'out_proj.bias']
    """

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, *, kdim: int | None = None,
        vdim: int | None = None, batch_first: bool = True, rotary_base: float | None = None,
    ) -> None:  # fmt: skip
        name = type(self).__name__
        self.embed_dim, self.num_heads = whole(name, "embed_dim", embed_dim), whole(name, "num_heads", num_heads)
        self.dropout = number(name, "dropout", dropout, least=0, most=1)
        self.kdim = self.embed_dim if kdim is None else whole(name, "kdim", kdim)
        self.vdim = self.embed_dim if vdim is None else whole(name, "vdim", vdim)
        self.rotary_base = None if rotary_base is None else number(name, "rotary_base", rotary_base, above=0)
        if self.embed_dim % self.num_heads:
            raise OptionError(
                f"{name}: embed_dim {self.embed_dim} is no multiple of num_heads {self.num_heads}: each head has "
                "embed_dim/num_heads features"
            )
        if not flag(name, "batch_first", batch_first):
            raise OptionError(f"{name}: batch_first is False, but sequences are (batch, time, features): swap the axes")
        self._in_weights(flag(name, "bias", bias))
        self.out_proj = Linear(self.embed_dim, self.embed_dim, bias)
        if self.out_proj.bias is not None:
            self.out_proj.bias = weights.constant((self.embed_dim,), 0.0)

    def _in_weights(self, bias: bool) -> None:
        e = self.embed_dim
        if self.kdim == self.vdim == e:
            self.in_proj_weight = weights.uniform((e, 3 * e), (6.0 / (e + 3 * e)) ** 0.5)
        else:
            self.q_proj_weight = weights.uniform((e, e), (6.0 / (e + e)) ** 0.5)
            self.k_proj_weight = weights.uniform((self.kdim, e), (6.0 / (self.kdim + e)) ** 0.5)
            self.v_proj_weight = weights.uniform((self.vdim, e), (6.0 / (self.vdim + e)) ** 0.5)
        self.in_proj_bias: Parameter | None = weights.constant((3 * e,), 0.0) if bias else None

    def config(self) -> dict[str, Any]:
        settings = {name: getattr(self, name) for name in NAMES}
        return {**settings, "bias": self.in_proj_bias is not None}

    def forward(
        self, query: Tensor, key: Tensor | None = None, value: Tensor | None = None, *, causal: bool = False,
        attn_mask: Any = None, key_padding_mask: Any = None,
    ) -> Tensor:  # fmt: skip
        key = query if key is None else key
        value = key if value is None else value
        self._check(query, key, value)
        bias = self._bias(attn_mask, key_padding_mask, query.shape, key.shape[1])
        q: Tensor
        k: Tensor | None
        v: Tensor | None
        if query is key is value and hasattr(self, "in_proj_weight"):
            q, k, v = functions.linear(query, self.in_proj_weight, self.in_proj_bias), None, None
            if self.rotary_base is not None:
                q = functions.rotary(q, 3 * self.num_heads, 2 * self.num_heads, self.rotary_base)
        else:
            q, k, v = (self._project(x, i) for i, x in enumerate((query, key, value)))
            if self.rotary_base is not None:
                q, k = (functions.rotary(x, self.num_heads, None, self.rotary_base) for x in (q, k))
        dropout = self.dropout if self.training else 0.0
        y: Tensor = self.out_proj(functions.attention(q, k, v, bias, self.num_heads, causal, dropout_p=dropout))
        return y

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        sizes = {"query": self.embed_dim, "key": self.kdim, "value": self.vdim}
        for (name, size), x in zip(sizes.items(), (query, key, value), strict=True):
            if x.ndim != 3 or x.shape[2] != size:
                raise ShapeError(f"attention: {name} has shape {x.shape}, expected (batch, time, {size})")

    def _project(self, x: Tensor, place: int) -> Tensor:
        """Queries, keys or values, by their own weight or their part of the common one."""
        part = slice(place * self.embed_dim, (place + 1) * self.embed_dim)
        bias = None if self.in_proj_bias is None else self.in_proj_bias[part]
        if hasattr(self, "in_proj_weight"):
            return functions.linear(x, self.in_proj_weight[:, part], bias)
        weight = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)[place]
        return functions.linear(x, weight, bias)

    def _bias(self, attn_mask: Any, key_padding_mask: Any, query: tuple[int, ...], keys: int) -> Any:
        """What both masks add to scores, (n or 1, heads or 1, t or 1, s)."""
        n, t, _ = query
        found = []
        if attn_mask is not None:
            bias = bias_of("attention", attn_mask, shown=False)
            if bias.shape not in ((t, keys), (n * self.num_heads, t, keys)):
                raise ShapeError(
                    f"attention: attn_mask has shape {bias.shape}, expected ({t}, {keys}), queries and keys, or "
                    f"({n * self.num_heads}, {t}, {keys}), one for each head of each sequence"
                )
            found.append(bias.reshape((1, 1, t, keys) if bias.ndim == 2 else (n, self.num_heads, t, keys)))
        if key_padding_mask is not None:
            bias = bias_of("attention", key_padding_mask, shown=False)
            if bias.shape != (n, keys):
                raise ShapeError(
                    f"attention: key_padding_mask has shape {bias.shape}, expected ({n}, {keys}), sequences and keys"
                )
            found.append(bias.reshape((n, 1, 1, keys)))
        return functions.add(*found) if len(found) == 2 else next(iter(found), None)
