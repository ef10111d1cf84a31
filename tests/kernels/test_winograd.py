"""3x3 convolutions by tiles: when they are chosen, blocks of every size, rounding errors, infinities and NaN."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from chainrule.engine.single import run_rule
from chainrule.kernels import correlation, winograd
from chainrule.kernels.winograd import suits, suits_weight
from chainrule.native.memory import Storage, View
from chainrule.ops.conv import conv2d, windows_of

SETTINGS: dict[str, Any] = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 1}


def arrays(images: int, size: tuple[int, int], inputs: int, outputs: int) -> dict[str, Any]:
    """Operands of all rules of a convolution with a border of 1."""
    rng = np.random.default_rng(0)
    shapes = {"x": (images, *size, inputs), "w": (3, 3, inputs, outputs), "dy": (images, *size, outputs)}
    found: dict[str, Any] = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    return found | {"b": rng.standard_normal(outputs).astype(np.float32)}


def compute(known: dict[str, Any], name: str = "y", dtype: Any = np.float32, workers: int = 2) -> Any:
    """The compiled forward pass ("y"), or the gradient of "x" or "w"."""
    rule = conv2d.forward if name == "y" else conv2d.gradients[name]
    keywords = {**SETTINGS, "x_shape": known["x"].shape, "w_shape": known["w"].shape}
    shape = known["dy" if name == "y" else name].shape
    operands = [known[operand] for operand in rule.operands]
    (result,) = run_rule(
        conv2d, rule, operands, {n: keywords[n] for n in rule.attributes}, [shape], dtype, workers=workers
    )
    return result


def plain(patch: pytest.MonkeyPatch) -> None:
    """Convolve without tiles."""
    for name in ("suits", "suits_weight"):
        patch.setattr(correlation, name, lambda windows: False)


@pytest.mark.parametrize(("x", "w", "changes", "by_tiles"), [
    ((2, 16, 16, 64), (3, 3, 64, 64), {}, True),
    ((2, 32, 32, 16), (3, 3, 16, 16), {}, True),
    ((2, 16, 16, 64), (3, 3, 64, 64), {"stride": (2, 2)}, False),
    ((2, 16, 16, 64), (3, 3, 64, 64), {"dilation": (2, 1)}, False),
    ((2, 16, 16, 64), (3, 3, 32, 64), {"groups": 2}, False),
    ((2, 16, 16, 64), (5, 3, 64, 64), {}, False),
    ((2, 16, 16, 3), (3, 3, 3, 64), {}, False),
    ((2, 1, 1, 64), (3, 3, 64, 64), {}, False),  # one of nine taps is left
])  # fmt: skip
def test_chosen_where_it_saves_multiplications(x: Any, w: Any, changes: dict[str, Any], by_tiles: bool) -> None:
    windows = windows_of(x, w, **{**SETTINGS, **changes})
    assert suits(windows) == suits_weight(windows) == by_tiles


def test_a_weight_gradient_is_chosen_earlier() -> None:
    windows = windows_of((2, 8, 8, 16), (3, 3, 16, 16), **SETTINGS)
    assert not suits(windows)
    assert suits_weight(windows)


def test_blocks_are_even_and_leave_room_for_a_weight_that_fits() -> None:
    windows = windows_of((2, 16, 16, 32), (3, 3, 32, 32), **SETTINGS)
    assert [winograd._even(7, most) for most in (1, 3, 6, 7, 9)] == [1, 3, 4, 7, 7]
    alone, beside, far = (winograd._most(windows, 48, 4, weight) for weight in (0, 200_000, 10**6))
    assert beside < alone == far


@pytest.mark.parametrize(("size", "border", "forward", "back"), [
    (4, 0, True, False), (12, 0, True, True), (4, 1, True, True), (4, 2, False, True),
])  # fmt: skip
def test_an_input_gradient_is_chosen_by_its_own_tiles(size: int, border: int, forward: bool, back: bool) -> None:
    """Without a border it has more of them than the forward pass, and most reach over the edge."""

    def view(*shape: int) -> View:
        return View(Storage(math.prod(shape), np.dtype(np.float32), "arena"), shape)

    out = size + 2 * border - 2
    x, y, w = view(3, size, size, 64), view(3, out, out, 64), view(3, 3, 64, 64)
    windows = windows_of(x.shape, w.shape, (1, 1), ((border, border),) * 2, (1, 1), 1)
    for calls, by_tiles in (
        (correlation.correlate(y, x, w, windows, view), forward),
        (correlation.correlate_transposed(x, y, w, windows, view), back),
    ):
        assert (winograd.winograd in [call.kernel for call in calls]) == by_tiles


@pytest.mark.parametrize("cache", [1, 40_000, 10**9])
@pytest.mark.parametrize(("images", "size"), [(1, (9, 7)), (5, (6, 6)), (18, (4, 5))])
def test_blocks_of_every_size(monkeypatch: pytest.MonkeyPatch, cache: int, images: int, size: tuple[int, int]) -> None:
    known = arrays(images, size, 20, 35)
    for name in ("suits", "suits_weight"):
        monkeypatch.setattr(correlation, name, lambda windows: True)
    monkeypatch.setattr(winograd, "CACHE", cache)
    found = {name: compute(known, name) for name in ("y", "x", "w")}
    plain(monkeypatch)
    for name, result in found.items():
        expected = compute(known, name)
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_rounding_errors_are_those_of_a_plain_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    known = arrays(4, (16, 16), 64, 64)
    assert suits(windows_of(known["x"].shape, known["w"].shape, **SETTINGS))
    by_tiles = {name: compute(known, name) for name in ("y", "x", "w")}
    plain(monkeypatch)
    for name, result in by_tiles.items():
        exact = compute({key: value.astype(np.float64) for key, value in known.items()}, name, np.float64)
        ours, others = (np.sqrt(np.mean((f - exact) ** 2)) for f in (result, compute(known, name)))
        assert 0 < ours < 4 * others, f"{name}: {ours}, plain {others}"


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_a_number_that_is_not_finite_reaches_those_who_see_it(odd: float) -> None:
    """And the other pixels of their tiles, whose differences it takes part in."""
    known = arrays(2, (8, 8), 48, 48)
    assert suits(windows_of(known["x"].shape, known["w"].shape, **SETTINGS))
    clean = compute(known)
    known["x"][1, 3, 4, 5] = odd
    found = compute(known)
    assert not np.isfinite(found[1, 2:5, 3:6]).any()
    changed = ~np.isfinite(found).all(axis=3)
    assert not changed[0].any()
    outside = np.ones((8, 8), bool)
    outside[2:6, 2:6] = False
    assert not changed[1][outside].any()
    np.testing.assert_array_equal(found[~changed], clean[~changed])
