"""Dropout: what is dropped is random, and a function of (seed, step, number, element) alone."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.engine.single import run_rule
from chainrule.ops.dropout import dropout, mask

KEY = {"number": 1, "seed": 2, "step": 3}


def test_the_share_kept_is_1_minus_p():
    n = 200_000
    for p in (0.1, 0.5, 0.9):
        kept = mask((n,), p, **KEY).sum()
        assert abs(kept - n * (1 - p)) < 4 * np.sqrt(n * p * (1 - p))


@pytest.mark.parametrize("other", [{"number": 0}, {"seed": 3}, {"step": 4}, {"seed": 2 + 2**32}, {"step": 3 + 2**32}])
def test_another_key_drops_others(other):
    same = mask((10_000,), 0.5, **KEY) == mask((10_000,), 0.5, **{**KEY, **other})
    assert 4700 < same.sum() < 5300


def test_the_mask_of_an_element_does_not_depend_on_the_shape():
    assert (mask((10, 10), 0.5, **KEY).reshape(-1) == mask((1000,), 0.5, **KEY)[:100]).all()


def test_the_gradient_drops_the_same_elements():
    x = np.ones((5, 7))
    y = dropout(x, p=0.4, **KEY)
    dx = dropout.gradients["x"].definition(x, p=0.4, **KEY)
    assert (dx == y).all()
    assert set(np.unique(y)) == {0.0, 1.0 / 0.6}


def test_compiled_dropout_follows_the_step_of_the_program():
    x = np.ones(1000, np.float32)
    for step in (0, 1, 2**40):
        attributes = {"p": 0.5, "number": 4, "seed": None, "step": None}
        (found,) = run_rule(dropout, dropout.forward, [x], attributes, [(1000,)], seed=9, step=step)
        assert ((found != 0) == mask((1000,), 0.5, 4, 9, step)).all()
