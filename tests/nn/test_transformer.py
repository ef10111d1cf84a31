"""Layers of transformers, positions, Bahdanau's and Luong's attention, and the small GPT."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import chainrule as cr
from chainrule import functions, models, nn, optim
from chainrule.errors import OptionError, ShapeError
from chainrule.train import Trainer

RNG = np.random.default_rng(0)
X, MEMORY = RNG.normal(size=(3, 6, 8)), RNG.normal(size=(3, 5, 8))
TOKENS = RNG.integers(0, 11, (10, 9))
LAYERS = [
    nn.RMSNorm(8),
    nn.RMSNorm((6, 8), eps=0.1, elementwise_affine=False),
    nn.LearnedPositions(7, 8),
    nn.SinusoidalPositions(8),
    nn.TransformerEncoderLayer(8, 2, 16),
    nn.TransformerEncoderLayer(8, 2, 16, norm_first=True, activation="gelu", causal=True, rotary_base=100.0),
    nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, bias=False),
    nn.MultiheadAttention(8, 2, rotary_base=50.0),
]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: repr(layer).partition("\n")[0])
def test_layers_are_rebuilt_from_files(layer: nn.Module, tmp_path: Path) -> None:
    model = nn.Sequential(layer).eval()
    cr.save(model, tmp_path / "model.safetensors")
    again = cr.load(tmp_path / "model.safetensors").eval()
    assert repr(again) == repr(model)
    np.testing.assert_array_equal(again(X).data, model(X).data)


@pytest.mark.parametrize("norm_first", [False, True])
def test_decoder_sees_the_past_and_the_memory(norm_first: bool) -> None:
    layer = nn.TransformerDecoderLayer(8, 2, 16, norm_first=norm_first).eval()
    changed = X.copy()
    changed[:, 3] *= -1.0
    before, after = layer(X, MEMORY).data, layer(changed, MEMORY).data
    np.testing.assert_array_equal(before[:, :3], after[:, :3])
    assert not np.isclose(before[:, 3:], after[:, 3:]).all(axis=-1).any()
    assert not np.isclose(before, layer(X, MEMORY * 2).data).all(axis=-1).any()
    assert not np.isclose(before[:, 0], layer(X, MEMORY, causal=False).data[:, 0]).all()
    hidden = np.arange(5) >= np.array([[3], [5], [1]])
    other = np.where(hidden[..., np.newaxis], 7.0, MEMORY)
    one, two = (layer(X, memory, memory_key_padding_mask=hidden).data for memory in (MEMORY, other))
    np.testing.assert_array_equal(one, two)


def test_scores_of_rotary_positions_depend_on_distance() -> None:
    q, k = RNG.normal(size=(2, 1, 1, 8))
    turned = [[functions.rotary(x, start=start).data for start in (0, 3, 20)] for x in (q, k)]
    scores = [
        float(functions.rotary(q, start=start + 3).data.ravel() @ b.ravel())
        for start, b in zip((0, 3, 20), turned[1], strict=True)
    ]
    np.testing.assert_allclose(scores, scores[0], rtol=1e-5)
    assert not np.isclose(float(turned[0][0].ravel() @ turned[1][1].ravel()), scores[0])


@pytest.mark.parametrize("layer", [nn.BahdanauAttention(4, 8, 5), nn.LuongAttention(4, 8)], ids=["Bahdanau", "Luong"])
def test_alignment(layer: nn.Module) -> None:
    queries, values = RNG.normal(size=(3, 6, 4)), RNG.normal(size=(3, 5, 2))
    hidden = np.arange(5) >= np.array([[5], [2], [1]])
    shares = layer.shares(cr.tensor(queries), cr.tensor(MEMORY), hidden).data
    np.testing.assert_allclose(shares.sum(axis=-1), 1.0, rtol=1e-5)
    assert not shares[:, :, 1:][np.broadcast_to(hidden[:, np.newaxis, 1:], (3, 6, 4))].any()
    y = layer(queries, MEMORY, values, key_padding_mask=hidden).data
    np.testing.assert_allclose(y, shares @ values, rtol=1e-4, atol=1e-6)
    one = layer(queries[:, 2], MEMORY, values, key_padding_mask=hidden).data
    np.testing.assert_allclose(one, y[:, 2], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        layer.shares(cr.tensor(queries[:, 2]), cr.tensor(MEMORY), hidden).data, shares[:, 2], rtol=1e-4, atol=1e-6
    )
    with pytest.raises(ShapeError, match="key_padding_mask has shape"):
        layer(queries, MEMORY, key_padding_mask=hidden[:2])
    with pytest.raises(ShapeError, match=r"expected \(n, 4\) or \(n, t, 4\), and \(n, s, 8\)"):
        layer(MEMORY, queries)


def test_bahdanau_is_the_formula() -> None:
    layer = nn.BahdanauAttention(4, 8, 5).astype("f8")
    q = RNG.normal(size=(3, 4))
    w, c, u, v = (p.data for p in layer.parameters())
    scores = np.tanh((q @ w + c)[:, np.newaxis] + MEMORY @ u) @ v
    shares = np.exp(scores[..., 0]) / np.exp(scores[..., 0]).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(layer(q, MEMORY).data, np.einsum("ns,nse->ne", shares, MEMORY), rtol=1e-12)


def test_luong_dot_needs_equal_sizes() -> None:
    np.testing.assert_allclose(
        nn.LuongAttention(8, 8, "dot")(X, MEMORY).data,
        functions.scaled_dot_product_attention(X, MEMORY, MEMORY, scale=1.0).data,
        rtol=1e-5,
    )
    with pytest.raises(OptionError, match='score="dot" needs equal sizes'):
        nn.LuongAttention(4, 8, "dot")


@pytest.mark.parametrize(("positions", "tied"), [("learned", True), ("sinusoidal", False), ("rotary", True)])
def test_gpt_learns_alike_on_both_engines_and_with_any_workers(positions: str, tied: bool) -> None:
    losses = []
    for engine, threads in (("reference", 1), ("compiled", 1), ("compiled", 3)):
        cr.seed(2)
        model = models.gpt(11, 8, layers=2, heads=2, width=16, dropout=0.1, positions=positions, tied=tied)
        one = Trainer(model, nn.CrossEntropyLoss(), optim.AdamW(lr=0.01), clip_norm=1.0, engine=engine, threads=threads)
        losses.append([one.step(TOKENS[:, :-1], TOKENS[:, 1:]) for _ in range(8)])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
    assert losses[1] == losses[2]
    assert losses[1][-1] < losses[1][0] < 1.02 * np.log(11)


def test_gpt_predicts_from_the_past_alone() -> None:
    model = models.gpt(11, 8, layers=2, heads=2, width=16).eval()
    changed = TOKENS[:, :8].copy()
    changed[:, 5] = (changed[:, 5] + 1) % 11
    before, after = model(TOKENS[:, :8]).data, model(changed).data
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert not np.isclose(before[:, 5:], after[:, 5:]).all(axis=-1).any()


def test_gpt_is_saved_with_its_shared_table(tmp_path: Path) -> None:
    model = models.gpt(11, 8, layers=1, heads=2, width=16).eval()
    cr.save(model, tmp_path / "gpt.safetensors")
    again = cr.load(tmp_path / "gpt.safetensors").eval()
    np.testing.assert_array_equal(again(TOKENS[:, :8]).data, model(TOKENS[:, :8]).data)
    assert again[-1].embedding is again[0]


def test_errors_say_what_is_wrong() -> None:
    with pytest.raises(ShapeError, match="x has 9 steps, expected at most 8: cut the sequences, or"):
        models.gpt(11, 8, layers=1, heads=2, width=16)(TOKENS)
    with pytest.raises(OptionError, match="positions"):
        models.gpt(11, 8, positions="none")
    with pytest.raises(OptionError, match="activation"):
        nn.TransformerEncoderLayer(8, 2, activation="tanh")
    with pytest.raises(
        ShapeError, match=r"sinusoidal_positions: x has shape \(3, 6, 8\), expected \(batch, steps, 4\)"
    ):
        nn.SinusoidalPositions(4)(X)
    with pytest.raises(ShapeError, match='rms_norm "weight": x has shape'):
        nn.RMSNorm(4)(X)
