"""Images made ready: parts, classes and statistics, and the same again for later images."""

from __future__ import annotations

import json

import numpy as np
import pytest

from chainrule.data import Images, prepare_images
from chainrule.data.images.pixels import channel_scaling, normalize
from chainrule.data.record import read_preparation
from chainrule.errors import DataError, LabelError

RNG = np.random.default_rng(0)


def images(n: int = 60, classes: int = 3, test: int = 0, channels: int = 3) -> Images:
    pixels = RNG.integers(0, 200, (n, 4, 5, channels)).astype(np.uint8)
    return Images("set", pixels, np.arange(n) % classes, test=test)


def test_statistics_are_those_of_the_training_part() -> None:
    data = images()
    preparation, parts = prepare_images(data, seed=3)
    train = data.pixels[parts.split.train].astype(np.float64)
    np.testing.assert_allclose(preparation.inputs.scaling.mean, train.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(preparation.inputs.scaling.deviation, train.std(axis=(0, 1, 2)))
    x, y = parts.arrays(parts.split.train)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.mean(axis=(0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(x.std(axis=(0, 1, 2)), 1, atol=1e-6)
    np.testing.assert_array_equal(y, np.arange(60)[parts.split.train] % 3)


def test_normalizing_is_the_formula() -> None:
    pixels = images().pixels
    scaling = channel_scaling(pixels, np.arange(len(pixels)))
    expected = (pixels - scaling.mean) / scaling.deviation
    np.testing.assert_array_equal(normalize(pixels, scaling), expected.astype(np.float32))


def test_a_constant_channel_is_centred() -> None:
    pixels = np.full((4, 2, 2, 2), 77, np.uint8)
    pixels[..., 1] = 0
    scaling = channel_scaling(pixels, np.arange(len(pixels)))
    assert scaling.deviation.tolist() == [1, 1]
    assert not normalize(pixels, scaling).any()


def test_black() -> None:
    preparation, parts = prepare_images(images())
    dark = Images("dark", np.zeros((1, 4, 5, 3), np.uint8))
    np.testing.assert_array_equal(preparation.x(dark)[0, 0, 0], np.float32(preparation.black()))
    assert parts.notes == ()


def test_parts() -> None:
    _, parts = prepare_images(images(60), validation=0.1, test=0.2)
    assert [len(rows) for rows in (parts.split.train, parts.split.validation, parts.split.test)] == [42, 6, 12]
    _, parts = prepare_images(images(60, test=20), validation=0.1, test=0.2)
    assert [len(rows) for rows in (parts.split.train, parts.split.validation)] == [36, 4]
    np.testing.assert_array_equal(parts.split.test, np.arange(40, 60))
    _, parts = prepare_images(images(60, test=20), validation=0.1, test=0.0)
    assert not len(parts.split.test)
    assert len(parts.split.train) == 36


def test_a_record_says_the_same() -> None:
    preparation, _ = prepare_images(images())
    again = read_preparation(json.loads(json.dumps(preparation.to_dict())))
    assert again.to_dict() == preparation.to_dict()
    data = images()
    np.testing.assert_array_equal(again.x(data), preparation.x(data))
    broken = preparation.to_dict()
    broken["inputs"]["shape"] = [4, 5, 1]
    with pytest.raises(ValueError, match=r"scaling\.mean is .*, expected as many numbers as there are channels, 1"):
        read_preparation(broken)


def labelled(*targets: object, names: tuple[str, ...] = ()) -> Images:
    kind = np.int64 if isinstance(targets[0], int) else object
    pixels = np.zeros((len(targets), 1, 1, 1), np.uint8)
    return Images("set", pixels, np.array(targets, kind), names=names)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (labelled(3, 3, 3), "set holds one class only, 3"),
        (labelled(0, 0, names=("cat", "dog")), "set holds one class only, cat"),
        (labelled(0, 1, 2, 3, 4), "5 different labels in 5 rows, too many"),
        (labelled(0, 1, 7, names=("cat", "dog")), "labels go from 0 to 7, expected 0 to 1"),
        (Images("set", np.zeros((2, 1, 1, 1), np.uint8)), "the images have no labels"),
        (labelled(0, 1), "too few for a validation part"),
    ],
)
def test_bad_targets(data: Images, words: str) -> None:
    with pytest.raises(DataError, match=words):
        prepare_images(data)


def test_classes_of_later_images() -> None:
    preparation, _ = prepare_images(labelled(*[0, 1, 2] * 20, names=("cat", "dog", "eel")))
    assert preparation.y(labelled("eel", "cat")).tolist() == [2, 0]
    assert preparation.y(labelled(1, 0, names=("eel", "dog"))).tolist() == [1, 2]
    assert preparation.y(labelled(2, 0)).tolist() == [2, 0]  # numbers of named classes
    numbered, _ = prepare_images(labelled(*[10, 20] * 20))
    assert numbered.y(labelled(20, 10)).tolist() == [1, 0]
    with pytest.raises(LabelError, match='"cart" is not one of the classes: did you mean "cat"'):
        preparation.y(labelled("cart"))
    with pytest.raises(LabelError, match='"3" is not one of the classes'):
        preparation.y(labelled(3))
    with pytest.raises(LabelError, match='"0" is not one of the classes'):
        numbered.y(labelled(0))


def test_fingerprints_tell_data_apart() -> None:
    data = images()
    other = Images("elsewhere", data.pixels.copy(), data.targets)
    assert data.fingerprint() == other.fingerprint()
    other.pixels[0, 0, 0, 0] ^= 1
    assert data.fingerprint() != other.fingerprint()


@pytest.mark.parametrize("name", ["pixels", "targets"])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_masked_arrays_are_refused(name: str, kind: type) -> None:
    arrays = {"pixels": np.zeros((4, 2, 2, 1), kind), "targets": np.array([0, 1, 0, 1])}
    arrays[name] = np.ma.masked_array(arrays[name], mask=np.arange(arrays[name].size).reshape(arrays[name].shape) == 1)
    with pytest.raises(DataError, match=f"set: {name}: is a masked array that hides 1 of"):
        Images("set", **arrays)
