"""Layers of transformers: attention and a small network for each step, with normalization and skips around both."""

from __future__ import annotations

from typing import Any

from chainrule.autodiff import functions
from chainrule.autodiff.tensor import Tensor
from chainrule.nn.attention import MultiheadAttention
from chainrule.nn.embedding import Embedding
from chainrule.nn.linear import Linear
from chainrule.nn.module import Module
from chainrule.nn.normalization import LayerNorm
from chainrule.settings import choice, flag, number, whole

NAMES = ("d_model", "nhead", "dim_feedforward", "dropout", "activation", "layer_norm_eps", "norm_first", "bias")


class _Layer(Module):
    """What both layers have: settings, a small network for each step, and sublayers with skips."""

    def _set(self, **settings: Any) -> None:
        kind = type(self).__name__
        self.d_model = whole(kind, "d_model", settings["d_model"])
        self.nhead = whole(kind, "nhead", settings["nhead"])
        self.dim_feedforward = whole(kind, "dim_feedforward", settings["dim_feedforward"])
        self.dropout = number(kind, "dropout", settings["dropout"], least=0, most=1)
        self.activation = choice(kind, "activation", settings["activation"], ("relu", "gelu"))
        self.layer_norm_eps = number(kind, "layer_norm_eps", settings["layer_norm_eps"], least=0)
        self.norm_first = flag(kind, "norm_first", settings["norm_first"])
        self.bias = flag(kind, "bias", settings["bias"])
        self.self_attn = self._attention(settings.get("rotary_base"))
        self.linear1 = Linear(self.d_model, self.dim_feedforward, self.bias)
        self.linear2 = Linear(self.dim_feedforward, self.d_model, self.bias)
        self.norm1, self.norm2 = self._norm(), self._norm()

    def _norm(self) -> LayerNorm:
        return LayerNorm(self.d_model, self.layer_norm_eps, bias=self.bias)

    def _attention(self, rotary_base: float | None) -> MultiheadAttention:
        return MultiheadAttention(self.d_model, self.nhead, self.dropout, self.bias, rotary_base=rotary_base)

    def config(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in NAMES}

    def _dropped(self, x: Tensor) -> Tensor:
        return functions.dropout(x, self.dropout, self.training) if self.dropout else x

    def _feed(self, x: Tensor) -> Tensor:
        """The small network of each step."""
        activation = functions.relu if self.activation == "relu" else functions.gelu
        y: Tensor = self.linear2(self._dropped(activation(self.linear1(x))))
        return y

    def _around(self, norm: Module, x: Tensor, sublayer: Any) -> Tensor:
        """x + sublayer(norm(x)), or norm(x + sublayer(x))."""
        y: Tensor = x + self._dropped(sublayer(norm(x) if self.norm_first else x))
        return y if self.norm_first else norm(y)


class TransformerEncoderLayer(_Layer):
    """Attention of a sequence to itself, then linear, activation, linear for each step; each with a skip around it.

    x is (batch, steps, d_model), y too. With `norm_first`, y = x + f(norm(x)) for both parts (Xiong et al., ICML 2020),
    else norm(x + f(x)), as in the original (Vaswani et al., NeurIPS 2017). Settings, names and initial values are
    torch's, but batches come first. With `causal`, given to the layer or to a call, step i sees steps 0 to i;
    src_mask and src_key_padding_mask are those of `nn.MultiheadAttention`. With a `rotary_base`, such as 10000,
    positions turn queries and keys. Raises OptionError for invalid settings, ShapeError for x that does not fit.

    >>> layer = nn.TransformerEncoderLayer(64, 4, 256, norm_first=True, activation="gelu")
    >>> layer(np.ones((2, 10, 64)), causal=True).shape
    (2, 10, 64)
    """

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1, activation: str = "relu",
        layer_norm_eps: float = 1e-5, *, norm_first: bool = False, bias: bool = True, causal: bool = False,
        rotary_base: float | None = None,
    ) -> None:  # fmt: skip
        self._set(
            d_model=d_model, nhead=nhead, dim_feedforward=dim_feedforward, dropout=dropout, activation=activation,
            layer_norm_eps=layer_norm_eps, norm_first=norm_first, bias=bias, rotary_base=rotary_base,
        )  # fmt: skip
        self.causal = flag("TransformerEncoderLayer", "causal", causal)

    def config(self) -> dict[str, Any]:
        return {**super().config(), "causal": self.causal, "rotary_base": self.self_attn.rotary_base}

    def forward(
        self, x: Tensor, *, causal: bool | None = None, src_mask: Any = None, src_key_padding_mask: Any = None
    ) -> Tensor:  # fmt: skip
        masks = {"attn_mask": src_mask, "key_padding_mask": src_key_padding_mask}
        hides = self.causal if causal is None else causal
        x = self._around(self.norm1, x, lambda z: self.self_attn(z, causal=hides, **masks))
        return self._around(self.norm2, x, self._feed)


class TransformerDecoderLayer(_Layer):
    """Attention of a sequence to itself, then to a memory, then linear, activation, linear for each step.

    x is (batch, steps, d_model), memory (batch, s, d_model), such as an encoder's output; y has the shape of x. Unlike
    in torch, attention to itself is causal unless `causal` is False. The rest is as in `nn.TransformerEncoderLayer`.

    >>> layer = nn.TransformerDecoderLayer(64, 4, 256)
    >>> layer(np.ones((2, 10, 64)), np.ones((2, 7, 64))).shape
    (2, 10, 64)
    """

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1, activation: str = "relu",
        layer_norm_eps: float = 1e-5, *, norm_first: bool = False, bias: bool = True,
    ) -> None:  # fmt: skip
        self._set(
            d_model=d_model, nhead=nhead, dim_feedforward=dim_feedforward, dropout=dropout, activation=activation,
            layer_norm_eps=layer_norm_eps, norm_first=norm_first, bias=bias,
        )  # fmt: skip
        self.multihead_attn = self._attention(None)
        self.norm3 = self._norm()

    def forward(
        self, x: Tensor, memory: Tensor, *, causal: bool = True, tgt_mask: Any = None, memory_mask: Any = None,
        tgt_key_padding_mask: Any = None, memory_key_padding_mask: Any = None,
    ) -> Tensor:  # fmt: skip
        own = {"attn_mask": tgt_mask, "key_padding_mask": tgt_key_padding_mask}
        other = {"attn_mask": memory_mask, "key_padding_mask": memory_key_padding_mask}
        x = self._around(self.norm1, x, lambda z: self.self_attn(z, causal=causal, **own))
        x = self._around(self.norm2, x, lambda z: self.multihead_attn(z, memory, **other))
        return self._around(self.norm3, x, self._feed)


class TiedOutput(Module):
    """y = x·Eᵀ with the table E of an embedding layer, which is used for inputs too: the layer that turns features into
    one logit for each token, without weights of its own (Press and Wolf, EACL 2017).

    >>> embedding = nn.Embedding(10, 4)
    >>> nn.Sequential(embedding, nn.TiedOutput(embedding))(np.array([[1, 2, 3]])).shape
    (1, 3, 10)
    """

    def __init__(self, embedding: Embedding) -> None:
        self.embedding = embedding

    def forward(self, x: Tensor) -> Tensor:
        return functions.linear(x, self.embedding.weight.transpose(1, 0))
