"""Embeddings and bags of them equal torch's: values, gradients of the table, rows of padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chainrule import nn
from chainrule.autodiff.tensor import Tensor

RNG = np.random.default_rng(0)
INDEX = RNG.integers(0, 6, size=(50, 7))
INDEX[3] = 2  # a bag of nothing but padding


def compare(ours: nn.Module, theirs: torch.nn.Module) -> None:
    table = RNG.normal(size=(6, 3))
    ours.weight.replace(table.copy())
    theirs.weight.data = torch.tensor(table)
    y, expected = ours(Tensor(INDEX)), theirs(torch.tensor(INDEX))
    np.testing.assert_allclose(y.data, expected.detach().numpy(), rtol=1e-12, atol=1e-14)
    dy = RNG.normal(size=y.shape)
    y.backward(dy)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(ours.weight.grad, theirs.weight.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("padding_idx", [None, 2, -1])
def test_embedding(padding_idx: int | None) -> None:
    compare(nn.Embedding(6, 3, padding_idx), torch.nn.Embedding(6, 3, padding_idx))


@pytest.mark.parametrize("padding_idx", [None, 2, -4])
@pytest.mark.parametrize("mode", ["mean", "sum", "max"])
def test_bags(mode: str, padding_idx: int | None) -> None:
    settings = {"mode": mode, "padding_idx": padding_idx}
    compare(nn.EmbeddingBag(6, 3, **settings), torch.nn.EmbeddingBag(6, 3, **settings))


@pytest.mark.parametrize("name", ["Embedding", "EmbeddingBag"])
def test_pretrained_tables(name: str) -> None:
    table = RNG.normal(size=(6, 3)).astype("f4")
    ours = getattr(nn, name).from_pretrained(table)
    theirs = getattr(torch.nn, name).from_pretrained(torch.tensor(table))
    np.testing.assert_allclose(ours(INDEX).data, theirs(torch.tensor(INDEX)).numpy(), rtol=1e-6, atol=1e-7)
    assert ours.weight.requires_grad is theirs.weight.requires_grad is False
