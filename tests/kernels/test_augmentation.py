"""Augmentation in programs: the images of the definition, for any changes, sizes and number of workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from chainrule.autodiff.tensor import Parameter
from chainrule.data.augmentation import Augmentation, Crop, CutOut, Flip, Rotate, Shift, Transformation
from chainrule.engine.compiled import CompiledEngine
from chainrule.engine.setup import Setup
from chainrule.engine.team import Team
from chainrule.kernels.augmentation import formula
from chainrule.kernels.interpolation import cosine_sine
from chainrule.optim.optimizers import UPDATES

RNG = np.random.default_rng(0)
WHOLE: list[list[Transformation]] = [
    [Shift(2)],
    [Shift(40)],  # often nothing of the image is left
    [Flip()],  # asks for the highest bit of a random word
    [Flip(vertical=True)],
    [CutOut(1)],
    [CutOut(5), CutOut(30)],
    [Shift(1), Flip(), CutOut(3)],
    [CutOut(3), Shift(3), CutOut(2), Flip(True), Flip(), Shift(1)],
    [Flip()] * 16,
]
BETWEEN: list[list[Transformation]] = [
    [Crop(0.5)],
    [Crop(1.0)],
    [Rotate(10)],
    [Rotate(180)],
    [Rotate(30), Crop(0.7), Rotate(180)],
    [CutOut(2), Rotate(45), Shift(1), Crop(0.1), CutOut(2), Flip()],
]
SHAPES = [(28, 28, 1), (7, 9, 3), (5, 4, 2), (6, 3, 17), (1, 1, 1), (1, 6, 3), (6, 1, 1)]


def build(x: Any, changes: Sequence[Transformation], batch: int, seed: int = 5, workers: int = 1) -> Any:
    """An engine whose gradient of "w" is the batch that the step saw."""
    p = {"w": Parameter(np.ones((batch, *x.shape[1:]), x.dtype))}
    setup = Setup(lambda x: x * p["w"], lambda y, *_: y.sum(), p, UPDATES["sgd"], seed=seed, workers=workers)
    engine = CompiledEngine(setup)
    engine.bind(x, np.zeros((len(x), 1), x.dtype), None, augmentation(x, changes))
    return engine


def augmentation(x: Any, changes: Sequence[Transformation]) -> Augmentation:
    return Augmentation(changes, fill=np.arange(x.shape[3]) + 0.25)


def seen(engine: Any, rows: Any, step: int = 3) -> Any:
    engine.run(rows[None], np.zeros((1, 2)), step)
    return engine.blocks.gradient("w").numpy().copy()


def images(shape: tuple[int, ...], dtype: str) -> tuple[Any, Any]:
    return RNG.normal(size=(50, *shape)).astype(dtype), RNG.integers(0, 50, 33)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("changes", WHOLE, ids=repr)
def test_whole_pixels_to_the_bit(changes: list[Transformation], shape: tuple[int, ...]) -> None:
    x, rows = images(shape, "float32")
    expected = augmentation(x, changes)(x[rows], 5, 3, rows)
    np.testing.assert_array_equal(seen(build(x, changes, 33), rows), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("changes", BETWEEN, ids=repr)
def test_between_pixels_to_rounding(changes: list[Transformation], shape: tuple[int, ...], dtype: str) -> None:
    x, rows = images(shape, dtype)
    expected = augmentation(x, changes)(x[rows], 5, 3, rows)
    # A coordinate is rounded to its own size, and an image of noise changes by several from pixel to pixel.
    tolerance = 100 * max(shape) * np.finfo(dtype).eps
    np.testing.assert_allclose(seen(build(x, changes, 33), rows), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("changes", [WHOLE[-2], BETWEEN[-1]], ids=repr)
def test_one_worker_equals_many_to_the_bit(changes: list[Transformation]) -> None:
    x, rows = RNG.normal(size=(300, 28, 28, 3)).astype("f4"), RNG.integers(0, 300, (6, 64))
    found = []
    for workers in (1, 2, 3, 8):
        engine = build(x, changes, 64, workers=workers)
        batches = [seen(engine, rows[0], 0)]
        assert engine.program.workers == workers
        engine.program.team = Team(workers, fixed=True)  # so that all of them work in every step
        batches += [seen(engine, row, step) for step, row in enumerate(rows[1:], 1)]
        found.append(np.stack(batches))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("changes", [*WHOLE[:-1], BETWEEN[-1]], ids=repr)
def test_the_kernel_as_plain_python(changes: list[Transformation], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    for shape in [(5, 4, 1), (4, 5, 3), (1, 2, 2)]:
        x, rows = images(shape, "float32")
        expected = augmentation(x, changes)(x[rows], -1, 2**40 + 1, rows)
        np.testing.assert_allclose(seen(build(x, changes, 33, seed=-1), rows, 2**40 + 1), expected, rtol=0, atol=1e-4)


def test_seed_and_step_are_64_bits() -> None:
    x, rows = images((6, 6, 1), "float32")
    changes = [Shift(2), Flip(), CutOut(2)]
    for seed, step in [(0, 0), (2**40 + 7, 2**33 + 1), (2**63 - 1, 2**32 - 1)]:
        expected = augmentation(x, changes)(x[rows], seed, step, rows)
        np.testing.assert_array_equal(seen(build(x, changes, 33, seed), rows, step), expected)


def test_a_new_list_is_a_new_program_and_an_old_one_is_found_again() -> None:
    x, rows = images((6, 6, 1), "float32")
    y = np.zeros((50, 1), "f4")
    engine = build(x, [Shift(2)], 33)
    programs = []
    augments = [Augmentation([Shift(2)], 0.25), Augmentation([Shift(1)], 0.25), Augmentation([Shift(2)], 0.5), None]
    for augment in [*augments, Augmentation([]), augments[0]]:
        engine.bind(x, y, None, augment)
        before = seen(engine, rows)
        expected = x[rows] if augment is None else augment(x[rows], 5, 3, rows)
        np.testing.assert_array_equal(before, expected)
        programs.append(engine.program)
    assert len({id(program) for program in programs}) == 4
    assert programs[5] is programs[0]
    assert programs[4] is programs[3]
    names = [[i.name for i in program.instructions] for program in programs]
    assert all(found == names[0] for found in names)


def test_a_program_shows_the_changes() -> None:
    x, rows = images((6, 6, 1), "float32")
    engine = build(x, [Shift(2), Flip(), CutOut(2)], 33)
    seen(engine, rows)
    assert "x = cutout(flip(shift(data[indices])))" in engine.program.table()
    assert formula(Augmentation([Crop(), Rotate()]), "x") == "rotate(crop(x))"


def test_cosine_and_sine() -> None:
    for angle in [*np.linspace(-np.pi, np.pi, 101), 0.0, 1e-9]:
        np.testing.assert_allclose(cosine_sine(angle), (np.cos(angle), np.sin(angle)), rtol=0, atol=4e-15)
