"""Names, order and defaults of layers' arguments are torch's, as far as they are there."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch

from chainrule import nn

LAYERS = (
    *("Conv1d", "Conv2d", "ConvTranspose2d", "Linear", "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "Upsample"),
    *("ZeroPad2d", "BatchNorm1d", "BatchNorm2d", "LayerNorm", "GroupNorm", "Dropout", "Dropout2d", "Flatten"),
    *("Embedding", "EmbeddingBag"),
)


@pytest.mark.parametrize("name", LAYERS)
def test_arguments(name: str) -> None:
    """What can be given by place has the same place in torch; a default is the same wherever there is one."""
    ours, theirs = (list(inspect.signature(getattr(m, name)).parameters.values()) for m in (nn, torch.nn))
    by_place = [p.name for p in ours if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert by_place == [p.name for p in theirs][: len(by_place)]
    defaults = {p.name: p.default for p in theirs}
    for p in ours:
        assert p.name in defaults
        assert p.default is p.empty or p.default == defaults[p.name]


@pytest.mark.parametrize("dims", [(), (2,), (0, 1), (-3, -2), (1, 1)])
def test_flatten(dims: tuple[int, ...]) -> None:
    x = np.arange(120.0).reshape(2, 3, 4, 5)
    np.testing.assert_array_equal(nn.Flatten(*dims)(x).data, torch.nn.Flatten(*dims)(torch.tensor(x)).numpy())
