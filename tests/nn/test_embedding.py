"""Tables of learned vectors: what is taken, what is learned, padding, pretrained and shared tables, bags."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr
from chainrule import nn, optim
from chainrule.autodiff import functions
from chainrule.autodiff.tensor import Tensor
from chainrule.errors import LabelError, OptionError, ShapeError

RNG = np.random.default_rng(0)
TOKENS = RNG.integers(0, 7, size=(40, 5))
CLASSES = RNG.integers(0, 3, size=40)
ENGINES = pytest.mark.parametrize("engine", ["reference", "compiled"])


class Words(nn.Module):
    """The class of a row of words, from the mean of their vectors."""

    def __init__(self, embedding: nn.Module) -> None:
        self.embedding, self.last = embedding, nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        vectors = self.embedding(x)
        return self.last(vectors.mean(axis=1) if vectors.ndim == 3 else vectors)  # type: ignore[no-any-return]


def trained(engine: str, embedding: nn.Module, threads: int = 2, steps: int = 3) -> tuple[list[float], Any]:
    for number, parameter in enumerate(embedding.parameters()):
        if parameter.requires_grad:
            parameter.data = np.random.default_rng(number).normal(size=parameter.shape)
    model = Words(embedding)
    model.last.weight.data, model.last.bias.data = np.eye(4, 3), np.zeros(3)
    trainer = cr.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(lr=0.5), engine=engine, threads=threads)
    return [trainer.step(TOKENS, CLASSES) for _ in range(steps)], trainer


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Embedding(7, 4),
        lambda: nn.Embedding(7, 4, padding_idx=-1),
        *(lambda mode=mode: nn.EmbeddingBag(7, 4, mode=mode) for mode in ("mean", "sum", "max")),
        *(lambda mode=mode: nn.EmbeddingBag(7, 4, mode=mode, padding_idx=0) for mode in ("mean", "sum", "max")),
    ],
)
def test_both_engines_learn_the_same_with_any_number_of_workers(make: Any) -> None:
    expected, reference = trained("reference", make())
    alone, compiled = trained("compiled", make(), 1)
    assert all(trained("compiled", make(), workers)[0] == alone for workers in (2, 3, 8))
    np.testing.assert_allclose(alone, expected, rtol=1e-5)
    np.testing.assert_allclose(compiled.predict(TOKENS), reference.predict(TOKENS), rtol=1e-4, atol=1e-6)
    tables = [trainer.model.embedding.weight.data for trainer in (compiled, reference)]
    np.testing.assert_allclose(*tables, rtol=1e-4, atol=1e-6)


@given(st.data())
def test_the_gradient_of_a_row_is_the_sum_over_its_uses(data: st.DataObject) -> None:
    shape = data.draw(st.lists(st.integers(0, 4), max_size=3))
    index = np.array(data.draw(st.lists(st.integers(0, 4), min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))))
    index = index.astype(int).reshape(shape)
    table = cr.tensor(RNG.normal(size=(5, 2)), requires_grad=True)
    y = functions.embedding(index, table, padding_idx=3)
    assert y.shape == (*shape, 2)
    y.sum().backward()
    counts = np.bincount(index.ravel(), minlength=5) * (np.arange(5) != 3)
    assert table.grad is not None
    np.testing.assert_array_equal(table.grad, np.repeat(counts[:, None], 2, axis=1))


@ENGINES
def test_the_row_of_padding_stays_as_it_is(engine: str) -> None:
    layer = nn.Embedding(7, 4, padding_idx=2)
    assert layer.weight.data[2].tolist() == [0.0] * 4
    before = layer.weight.data.copy()
    model = Words(layer)
    cr.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(lr=0.5), engine=engine).step(TOKENS, CLASSES)
    assert (layer.weight.data[2] == before[2]).all()
    assert (layer.weight.data[[0, 1, 3, 4, 5, 6]] != before[[0, 1, 3, 4, 5, 6]]).all()


@ENGINES
def test_pretrained_tables_are_frozen_unless_asked_otherwise(engine: str) -> None:
    given = RNG.normal(size=(7, 4)).astype("f4")
    frozen = nn.Embedding.from_pretrained(given)
    trained(engine, frozen)
    np.testing.assert_array_equal(frozen.weight.data, given)
    free = nn.Embedding.from_pretrained(given, freeze=False, padding_idx=1)
    trained(engine, free)
    assert (free.weight.data != given).any()
    assert free.padding_idx == 1
    bag = nn.EmbeddingBag.from_pretrained(given, mode="max")
    assert bag.mode == "max"
    assert not bag.weight.requires_grad


class Tied(nn.Module):
    """The next word, with one table for what comes in and what goes out."""

    def __init__(self) -> None:
        self.embedding = nn.Embedding(7, 4)
        self.embedding.weight.data = np.random.default_rng(0).normal(size=(7, 4))

    def forward(self, x: Tensor) -> Tensor:
        return functions.linear(self.embedding(x).tanh(), self.embedding.weight.T)


def test_a_table_may_be_shared_with_the_output_layer() -> None:
    losses, gradients = [], []
    for engine in ("reference", "compiled"):
        trainer = cr.Trainer(Tied(), nn.CrossEntropyLoss(), optim.SGD(lr=0.1), engine=engine)
        gradients.append(trainer.gradients(TOKENS[:, 0], TOKENS[:, 1])["embedding.weight"])
        losses.append([trainer.step(TOKENS[:, 0], TOKENS[:, 1]) for _ in range(3)])
        assert len(trainer.model.parameters()) == 1
    np.testing.assert_allclose(*losses, rtol=1e-5)
    np.testing.assert_allclose(*gradients, rtol=1e-4, atol=1e-6)


def test_bags_of_padding_alone_are_zeros() -> None:
    for mode in ("mean", "sum", "max"):
        bag = nn.EmbeddingBag(4, 2, mode=mode, padding_idx=3)
        assert bag([[3, 3], [0, 3]]).numpy()[0].tolist() == [0.0, 0.0]
        np.testing.assert_array_equal(bag([[3, 3], [0, 3]]).numpy()[1], bag.weight.data[0])


def test_mistakes_are_named() -> None:
    with pytest.raises(OptionError, match="Embedding: num_embeddings is 0"):
        nn.Embedding(0, 3)
    with pytest.raises(OptionError, match="Embedding: padding_idx is 3"):
        nn.Embedding(3, 3, padding_idx=3)
    with pytest.raises(OptionError, match="EmbeddingBag: mode is 'median'"):
        nn.EmbeddingBag(3, 3, mode="median")
    with pytest.raises(ShapeError, match=r"Embedding: embeddings have shape \(3,\)"):
        nn.Embedding.from_pretrained([1.0, 2.0, 3.0])
    with pytest.raises(ShapeError, match=r"embedding_bag.*: x has shape \(3,\), expected \(n, t\)"):
        nn.EmbeddingBag(3, 3)([0, 1, 2])
    with pytest.raises(LabelError, match=r"embedding: indices are float32, expected whole numbers 0 \.\. 2"):
        nn.Embedding(3, 3)(np.zeros(2))
