"""Augmentation: each transformation by its formula, and the same random numbers whatever is around a sample."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chainrule.data.augmentation import Augmentation, Crop, CutOut, Flip, Rotate, Shift, bilinear
from chainrule.errors import DtypeError, OptionError, ShapeError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 6, 7, 2)).astype(np.float32)
STEPS, SAMPLES = np.zeros(400, np.int64), np.arange(400)
ALL = [Shift(2), Flip(), Flip(vertical=True), Crop(0.5), Rotate(30), CutOut(3)]
NO_FILL = np.float32(0)


def run(transformation, x=X, seed=1, fill=0.0):
    return Augmentation([transformation], fill)(x, seed, STEPS[: len(x)], SAMPLES[: len(x)])


def test_shift_moves_by_every_number_of_pixels() -> None:
    out = run(Shift(1), fill=9.0)
    padded = np.full((400, 8, 9, 2), 9, np.float32)
    padded[:, 1:7, 1:8] = X
    windows = [padded[:, 1 - a : 7 - a, 1 - b : 8 - b] for a in (-1, 0, 1) for b in (-1, 0, 1)]
    same = np.array([(out == window).all(axis=(1, 2, 3)) for window in windows])
    assert (same.sum(axis=0) == 1).all()
    assert (same.sum(axis=1) > 20).all()  # of 44 expected


@pytest.mark.parametrize("vertical", [False, True])
def test_flip_mirrors_half(vertical: bool) -> None:
    out = run(Flip(vertical))
    mirrored = (out == (X[:, ::-1] if vertical else X[:, :, ::-1])).all(axis=(1, 2, 3))
    kept = (out == X).all(axis=(1, 2, 3))
    assert (mirrored ^ kept).all()
    assert 150 < mirrored.sum() < 250


def test_crop_of_a_ramp_is_a_ramp() -> None:
    ramp = np.broadcast_to(np.arange(7.0), (400, 6, 7))[..., None].astype(np.float32)
    out = run(Crop(0.5), ramp)
    slopes = np.diff(out[:, 0, 1:-1, 0], axis=1)
    assert ((slopes > 0.49) & (slopes < 1.01)).all()
    assert np.ptp(slopes) > 0.4
    assert out.min() >= 0
    assert out.max() <= 6
    np.testing.assert_array_equal(run(Crop(1.0)), X)


def test_rotation_by_right_angles_is_exact() -> None:
    x = RNG.normal(size=(1, 5, 5, 1))
    turn = Rotate(90)
    np.testing.assert_allclose(turn.apply(x, np.array([[0.0, 1.0]]), NO_FILL), np.rot90(x, 1, (1, 2)), atol=1e-12)
    np.testing.assert_allclose(turn.apply(x, np.array([[0.0, -1.0]]), NO_FILL), np.rot90(x, -1, (1, 2)), atol=1e-12)
    np.testing.assert_allclose(turn.apply(x, np.array([[-1.0, 0.0]]), NO_FILL), x[:, ::-1, ::-1], atol=1e-12)


def test_rotation_angles() -> None:
    words = RNG.integers(0, 2**32, (1000, 4)).astype(np.uint32)
    cosine, sine = Rotate(30).draw(words, 5, 5).T
    angles = np.degrees(np.arctan2(sine, cosine))
    assert -30 <= angles.min() < -28
    assert 28 < angles.max() <= 30
    inside = np.full((1, 9, 9, 1), 1.0)
    out = Rotate(45).apply(inside, np.array([[math.sqrt(0.5), math.sqrt(0.5)]]), np.float64(-1))
    assert out[0, 0, 0, 0] == -1  # what comes in is the fill
    assert out[0, 4, 4, 0] == 1


def test_cutout_covers_a_square() -> None:
    out = run(CutOut(3), fill=9.0)
    covered = (out == 9).all(axis=-1)
    assert ((out == X) | (out == 9)).all()
    sizes = covered.sum(axis=(1, 2))
    assert sizes.max() == 9
    assert sizes.min() == 4  # over a corner
    everything = run(CutOut(20), fill=9.0)
    assert (everything == 9).all()


def test_bilinear_is_its_formula() -> None:
    x = RNG.normal(size=(1, 3, 3, 1))
    rows, columns = np.array([[[0.25]]]), np.array([[[1.5]]])
    expected = 0.75 * (x[0, 0, 1] + x[0, 0, 2]) / 2 + 0.25 * (x[0, 1, 1] + x[0, 1, 2]) / 2
    np.testing.assert_allclose(bilinear(x, rows, columns, np.float64(0))[0, 0, 0], expected)


@pytest.mark.parametrize("transformation", ALL, ids=repr)
def test_a_sample_does_not_depend_on_its_batch(transformation) -> None:
    out = run(transformation)
    chosen = np.array([7, 3, 390])
    again = Augmentation([transformation])(X[chosen], 1, 0, chosen)
    np.testing.assert_array_equal(out[chosen], again)
    assert out.dtype == np.float32
    assert out.shape == X.shape


@pytest.mark.parametrize("transformation", ALL, ids=repr)
def test_seed_step_and_place_matter(transformation) -> None:
    out = run(transformation)
    assert (run(transformation, seed=2) != out).any()
    assert (Augmentation([transformation])(X, 1, 1, SAMPLES) != out).any()
    assert (
        Augmentation([transformation])(X, 1, 2**40, SAMPLES) != Augmentation([transformation])(X, 1, 0, SAMPLES)
    ).any()
    twice = Augmentation([transformation, transformation])(X, 1, 0, SAMPLES)
    assert (twice != run(transformation, out)).any()  # the second draws anew


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 1, 5, 3), (0, 4, 4, 1)])
def test_small_images(shape: tuple[int, ...]) -> None:
    x = np.ones(shape, np.float64)
    out = Augmentation(ALL)(x, 0, 0, np.arange(len(x)))
    assert out.shape == shape
    assert out.dtype == np.float64


def test_a_fill_for_each_channel() -> None:
    out = Augmentation([CutOut(20)], fill=(1.0, 2.0))(X, 0, 0, SAMPLES)
    assert (out == [1, 2]).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Shift(0), "Shift: pixels is 0"),
        (lambda: Shift(1.5), "Shift: pixels is 1.5"),
        (lambda: Flip(1), "Flip: vertical is 1"),
        (lambda: Crop(0), "Crop: least is 0"),
        (lambda: Crop(1.1), "Crop: least is 1.1"),
        (lambda: Rotate(181), "Rotate: degrees is 181"),
        (lambda: Rotate(float("nan")), "Rotate: degrees is nan"),
        (lambda: CutOut(-1), "CutOut: size is -1"),
        (lambda: Augmentation([Flip]), "is not a transformation"),
        (lambda: Augmentation([Flip()] * 17), "17 transformations, expected at most 16"),
        (lambda: Augmentation([], fill=np.nan), "fill is nan"),
    ],
)
def test_settings_without_meaning(make, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        make()


def test_data_that_is_no_images() -> None:
    with pytest.raises(ShapeError, match=r"x has shape \(3, 4\), expected images"):
        Augmentation([Flip()]).check(np.zeros((3, 4)))
    with pytest.raises(ShapeError, match="fill has 3 values, the images 2 channels"):
        Augmentation([Flip()], fill=(1, 2, 3)).check(X)
    with pytest.raises(DtypeError, match="x is uint8"):
        Augmentation([Flip()]).check(np.zeros((1, 2, 2, 1), np.uint8))
