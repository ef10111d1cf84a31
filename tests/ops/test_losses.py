"""Losses beyond their samples: extreme logits, values that are not finite, many equal terms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from chainrule.engine.single import run_rule
from chainrule.native.memory import Array
from chainrule.ops import losses, reductions
from chainrule.ops.binary_cross_entropy import binary_cross_entropy
from chainrule.ops.cross_entropy import cross_entropy
from chainrule.ops.record import Op

PLAIN: dict[str, Any] = {"label_smoothing": 0.0, "reduction": "mean", "ignore_index": -100}
MEAN: dict[str, Any] = {"reduction": "mean"}


def both(op: Op, inputs: list[Array | None], attributes: dict[str, Any]) -> tuple[float, float]:
    """The loss by its definition and by its machine code, in float32."""
    arrays = [x.astype(np.float32) if x is not None and x.dtype.kind == "f" else x for x in inputs]
    with np.errstate(all="ignore"):
        results = op(*arrays, **attributes)
    compiled = run_rule(op, op.forward, arrays, attributes, [r.shape for r in results])
    return float(results[0]), float(compiled[0])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("place", [0, 3, 8])
def test_a_logit_that_is_not_finite_shows_in_the_loss(bad, place):
    logits = np.linspace(-1.0, 1.0, 9).reshape(1, 9)
    logits[0, place] = bad
    assert all(math.isnan(loss) for loss in both(cross_entropy, [logits, np.array([1]), None, None], PLAIN))


@pytest.mark.parametrize("op", [losses.mean_squared, losses.mean_absolute])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_prediction_that_is_not_finite_shows_in_the_loss(op, bad):
    assert not any(math.isfinite(loss) for loss in both(op, [np.array([1.0, bad]), np.zeros(2), None], MEAN))


@pytest.mark.parametrize(("label", "expected"), [(0, 0.0), (1, 2e4)])
def test_cross_entropy_of_huge_logits(label, expected):
    found = both(cross_entropy, [np.array([[1e4, -1e4]]), np.array([label]), None, None], PLAIN)
    assert found == (expected, expected)


@pytest.mark.parametrize(("logit", "target", "expected"), [(1e4, 1.0, 0.0), (1e4, 0.0, 1e4), (-1e4, 0.5, 5e3)])
def test_binary_cross_entropy_of_huge_logits(logit, target, expected):
    found = both(binary_cross_entropy, [np.array([logit]), np.array([target]), None, None], MEAN)
    assert found == (expected, expected)


def test_cross_entropy_with_a_class_ruled_out():
    logits = np.array([[0.0, -math.inf, math.log(3.0)]])
    for loss in both(cross_entropy, [logits, np.array([2]), None, None], PLAIN):
        assert loss == pytest.approx(math.log(4.0 / 3.0), rel=1e-6)


@pytest.mark.parametrize("positive", [None, np.array([3.0])])
def test_binary_cross_entropy_keeps_small_losses(positive):
    expected = math.log1p(math.exp(-30.0))
    for loss in both(binary_cross_entropy, [np.array([-30.0]), np.zeros(1), None, positive], MEAN):
        assert loss == pytest.approx(expected, rel=1e-6)
    weighted = expected if positive is None else 3.0 * expected
    for loss in both(binary_cross_entropy, [np.array([30.0]), np.ones(1), None, positive], MEAN):
        assert loss == pytest.approx(weighted, rel=1e-6)


def test_many_equal_losses_keep_their_precision():
    n = 300_000
    for loss in both(cross_entropy, [np.zeros((n, 2)), np.zeros(n, np.int64), None, None], PLAIN):
        assert loss == pytest.approx(math.log(2.0), rel=1e-6)
    for loss in both(losses.mean_absolute, [np.full(n, 0.1), np.zeros(n), np.full(n, 0.3)], MEAN):
        assert loss == pytest.approx(0.1, rel=1e-6)


def test_max_passes_on_what_is_not_a_number():
    x = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    x[1, 2] = math.nan
    for axis, expected in [((1,), [3.0, math.nan, 11.0]), ((0,), [8.0, 9.0, math.nan, 11.0])]:
        attributes = {"axis": axis, "keepdims": False}
        (found,) = run_rule(reductions.max, reductions.max.forward, [x], attributes, [(len(expected),)])
        np.testing.assert_array_equal(found, np.array(expected, np.float32))
