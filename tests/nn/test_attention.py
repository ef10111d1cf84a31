"""Attention as a function and as a layer: masks, dropout, errors, memory, workers."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import functions, nn, optim
from chainrule.errors import DtypeError, OptionError, ShapeError
from chainrule.train import Trainer

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 7, 12))


class Model(nn.Module):
    """Attention to the sequence itself, then to a part of it, with dropout in both."""

    def __init__(self, dropout: float = 0.3) -> None:
        self.own = nn.MultiheadAttention(12, 3, dropout=dropout)
        self.other = nn.MultiheadAttention(12, 2, dropout=dropout)
        self.out = nn.Linear(12, 4)

    def forward(self, x: cr.Tensor) -> cr.Tensor:
        x = x + self.own(x, causal=True)
        return self.out((x + self.other(x, x[:, 2:5])).mean(axis=1))


def trainer(engine: str = "compiled", threads: int | None = None, dropout: float = 0.3) -> Trainer:
    cr.seed(1)
    return Trainer(Model(dropout), nn.CrossEntropyLoss(), optim.Adam(lr=0.01), engine=engine, threads=threads)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_engines_agree(dropout: float) -> None:
    y = np.array([0, 3, 1])
    losses = [[one.step(X, y) for _ in range(5)] for one in (trainer(e, 1, dropout) for e in ("compiled", "reference"))]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_the_number_of_workers_changes_no_bit() -> None:
    x, y = RNG.normal(size=(12, 70, 12)), RNG.integers(0, 4, 12)
    states = []
    for threads in (1, 2, 3, 8):
        one = trainer(threads=threads)
        one.fit(x, y, epochs=2, batch_size=5)
        states.append({name: array.tobytes() for name, array in one.model.state_dict().items()})
    assert all(state == states[0] for state in states[1:])


def test_memory_grows_with_the_length_and_not_its_square() -> None:
    class Long(nn.Module):
        def __init__(self) -> None:
            self.attention = nn.MultiheadAttention(8, 2)

        def forward(self, x: cr.Tensor) -> cr.Tensor:
            return self.attention(x, causal=True)

    sizes = []
    for t in (1024, 2048):
        one = Trainer(Long(), nn.MSELoss(), optim.SGD(lr=0.1))
        x = np.zeros((1, t, 8), np.float32)
        one.step(x, x)
        sizes.append(one.program.arena_bytes)
    assert sizes[1] < 2.1 * sizes[0]
    assert sizes[1] < 2048 * 2048 * 4 / 8  # of what the scores of one head would take


def test_a_later_key_changes_nothing_before() -> None:
    layer = nn.MultiheadAttention(12, 3).eval()
    changed = X.copy()
    changed[:, 4] += 1.0
    before, after = (layer(x, x, x, causal=True).data for x in (X, changed))
    np.testing.assert_array_equal(before[:, :4], after[:, :4])
    assert not np.isclose(before[:, 4:], after[:, 4:]).all(axis=-1).any()


def test_hidden_keys_change_nothing() -> None:
    layer = nn.MultiheadAttention(12, 3).eval()
    hidden = np.arange(7) >= np.array([[7], [4], [1]])
    changed = np.where(hidden[..., np.newaxis], 1e3, X)
    one, other = (layer(X[:, :2], memory, key_padding_mask=hidden).data for memory in (X, changed))
    np.testing.assert_array_equal(one, other)
    rows = [layer(X[i : i + 1, :2], X[i : i + 1, :n]).data[0] for i, n in enumerate((7, 4, 1))]
    np.testing.assert_allclose(one, rows, rtol=1e-5, atol=1e-6)


def test_masks_of_the_layer_are_added() -> None:
    layer = nn.MultiheadAttention(12, 3).eval()
    hidden, future = np.arange(7) >= np.array([[7], [4], [5]]), np.triu(np.ones((7, 7), bool), 1)
    both = layer(X, attn_mask=future, key_padding_mask=hidden).data
    np.testing.assert_allclose(both, layer(X, causal=True, key_padding_mask=hidden).data, rtol=1e-5, atol=1e-6)
    for_each = np.broadcast_to(np.where(future, -np.inf, 0.0), (9, 7, 7))
    as_tensors = layer(X, attn_mask=cr.tensor(for_each), key_padding_mask=cr.tensor(np.where(hidden, -np.inf, 0.0)))
    np.testing.assert_allclose(as_tensors.data, both, rtol=1e-5, atol=1e-6)


def test_a_learned_bias_gets_its_gradient() -> None:
    bias = cr.tensor(RNG.normal(size=(2, 5, 5)), requires_grad=True)
    x = RNG.normal(size=(3, 2, 5, 4))
    assert cr.gradcheck(lambda b: functions.scaled_dot_product_attention(x, x, x, b), [bias])


def test_dropout_drops_shares_in_training_only() -> None:
    layer = nn.MultiheadAttention(12, 3, dropout=0.5)
    assert not np.array_equal(layer(X).data, layer(X).data)
    layer.eval()
    np.testing.assert_array_equal(layer(X).data, layer(X).data)


def test_dropout_keeps_the_mean_share() -> None:
    zeros, ones = np.zeros((1, 500, 1)), np.ones((1, 500, 1))
    y = functions.scaled_dot_product_attention(zeros, zeros, ones, dropout_p=0.25).data
    assert abs(float(y.mean()) - 1.0) < 0.01  # of 250,000 shares
    assert 0.02 < float(y.std()) < 0.04  # √(p/(1 - p)/500)


def test_equal_arrays_are_one_tensor() -> None:
    """The layer then multiplies by its three weights at once."""
    layer = nn.MultiheadAttention(12, 3)
    np.testing.assert_array_equal(layer(X, X, X).data, layer(X).data)
    np.testing.assert_allclose(layer(X, X.copy(), X).data, layer(X).data, rtol=1e-5, atol=1e-6)


def test_errors_say_what_is_wrong() -> None:
    layer = nn.MultiheadAttention(12, 3)
    with pytest.raises(OptionError, match="embed_dim 10 is no multiple of num_heads 3"):
        nn.MultiheadAttention(10, 3)
    with pytest.raises(OptionError, match="batch_first is False"):
        nn.MultiheadAttention(12, 3, batch_first=False)
    with pytest.raises(ShapeError, match=r"query has shape \(7, 12\), expected \(batch, time, 12\)"):
        layer(X[0])
    with pytest.raises(ShapeError, match="as many sequences in all three"):
        layer(X, X[:2])
    with pytest.raises(ShapeError, match=r"attn_mask has shape \(7, 6\), expected \(7, 7\)"):
        layer(X, attn_mask=np.zeros((7, 6), bool))
    with pytest.raises(ShapeError, match=r"key_padding_mask has shape \(3, 6\), expected \(3, 7\)"):
        layer(X, key_padding_mask=np.zeros((3, 6), bool))
    with pytest.raises(DtypeError, match=r"the mask is int64, .*astype\(bool\)"):
        layer(X, attn_mask=np.zeros((7, 7), int))
    with pytest.raises(ShapeError, match="expected no more axes than query has, 3"):
        functions.scaled_dot_product_attention(X, X, X, np.zeros((1, 3, 7, 7)))
    with pytest.raises(ShapeError, match="same leading axes"):
        functions.scaled_dot_product_attention(X, X[0], X)
    x = X[:, np.newaxis]
    with pytest.raises(ShapeError, match="scaled_dot_product_attention: shapes"):
        functions.scaled_dot_product_attention(x, x, x, np.zeros((2, 1, 7, 7)))


def test_a_layer_is_rebuilt_from_its_config() -> None:
    layer = nn.MultiheadAttention(12, 3, dropout=0.1, bias=False, kdim=5, vdim=7)
    again = nn.MultiheadAttention(**layer.config())
    assert again.config() == layer.config()
    assert {n: p.shape for n, p in again.named_parameters().items()} == {
        "q_proj_weight": (12, 12), "k_proj_weight": (5, 12), "v_proj_weight": (7, 12), "out_proj.weight": (12, 12),
    }  # fmt: skip
