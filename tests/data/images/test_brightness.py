"""One scale for a data set: decided on its training images, kept, and the same for whatever comes later."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from chainrule.data import Images, Preparation, prepare_images
from chainrule.data.images.pixels import to_pixels
from chainrule.data.record import read_preparation
from chainrule.errors import DataError

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (60, 4, 5, 1)).astype(np.uint8)


def images(array: Any, test: int = 0) -> Images:
    pixels = to_pixels("set", np.asarray(array))
    return Images("set", pixels, np.arange(len(pixels)) % 2, test=test)


def later(preparation: Preparation, array: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """What the network is given of images that come after the training, and what is told about them."""
    whole = preparation.whole_rows(Images("new", to_pixels("new", np.asarray(array))), with_target=False)
    return preparation.x(whole), whole.notes


SAME = {  # the same pictures, told in one line or none
    "bytes": (BYTES, ()),
    "whole numbers": (BYTES.astype(np.int64), ("set: pixels go from 0 to 255, taken as brightness of 0 to 255",)),
    "floats of 255": (BYTES * 1.0, ("set: pixels go from 0 to 255, taken as brightness of 0 to 255",)),
    "floats of 1": (BYTES / 255, ("set: pixels go from 0 to 1, taken as brightness of 0 to 1",)),
    "float16": (
        (BYTES / 256).astype(np.float16),
        ("set: pixels go from 0 to 0.996094, taken as brightness of 0 to 1",),
    ),
    "16 bits": (BYTES * np.uint16(257), ()),
    "bytes in 16 bits": (BYTES.astype(np.uint16), ("set: pixels go from 0 to 255, taken as brightness of 0 to 255",)),
    "signed": (
        BYTES / 127.5 - 1,
        ("set: pixels go from -1 to 1, in units of their own: later images are expected in the same",),
    ),
    "percents": (
        BYTES / 2.55,
        ("set: pixels go from 0 to 100, in units of their own: later images are expected in the same",),
    ),
    "heat": (BYTES * np.uint16(1) + np.uint16(51640), ()),
    "an offset": (
        BYTES * 1e-4 + 5000,
        ("set: pixels go from 5000 to 5000.03, in units of their own: later images are expected in the same",),
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_what_a_network_sees_does_not_depend_on_the_units(case: str) -> None:
    array, notes = SAME[case]
    preparation, parts = prepare_images(images(array), seed=1)
    _, others = prepare_images(images(BYTES), seed=1)
    assert parts.notes == notes
    np.testing.assert_allclose(parts.x, others.x, atol=1e-5)
    again = read_preparation(json.loads(json.dumps(preparation.to_dict())))
    x, told = later(again, array)
    np.testing.assert_array_equal(x, parts.x)
    assert told == ()
    for row in (int(BYTES.mean(axis=(1, 2, 3)).argmin()), 0):  # a dark one alone is what it is beside bright ones
        np.testing.assert_array_equal(later(again, array[row : row + 1])[0], x[row : row + 1])


@pytest.mark.parametrize("value", [1.0000000000000002, 1.01, 37.0, -3.0])
@pytest.mark.parametrize("where", ["train", "test"])
def test_one_pixel_changes_nothing_but_itself(value: float, where: str) -> None:
    array = BYTES / 255
    array[50 if where == "test" else 3, 0, 0] = value
    _, parts = prepare_images(images(array, test=20), validation=0)
    _, plain = prepare_images(images(BYTES / 255, test=20), validation=0)
    if where == "test":
        assert np.count_nonzero(parts.x != plain.x) == 1
    row = "row 11 of the test part" if where == "test" else "row 4"
    told = f"set: {row} holds {value:g}, the training images hold brightness of 0 to 1: such values are taken as"
    assert [note.startswith(told) for note in parts.notes] == ([False] if -0.5 < value < 1.5 else [False, True])
    assert parts.notes[0].endswith("taken as brightness of 0 to 1")


@pytest.mark.parametrize(("row", "where"), [(3, "row 4"), (50, "row 11 of the test part")])
def test_a_broken_pixel_is_named(row: int, where: str) -> None:
    array = BYTES / 255
    array[row, 0, 0] = 1e6
    with pytest.raises(DataError, match=f"set: {where} holds 1e\\+06, the training images hold brightness of 0 to 1"):
        prepare_images(images(array, test=20), validation=0)


@pytest.mark.parametrize(("offset", "mark", "dtype"), [(51640, 0, "uint16"), (295.5, -9999, "float32")])
def test_marks_of_what_is_missing_are_told_of(offset: float, mark: float, dtype: str) -> None:
    array = (BYTES / 10 + offset).astype(dtype)
    array[3, 0, :2] = mark
    _, parts = prepare_images(images(array), validation=0, test=0)
    assert parts.notes[-1].startswith(f"set: pixels go from {mark} to ")
    assert parts.notes[-1].endswith(": if others mark what is missing, replace them")


CONVERTED = [
    (BYTES / 255, BYTES, "new: uint8 pixels are divided by 255, as the training images hold brightness of 0 to 1"),
    (
        BYTES,
        BYTES * np.uint16(257),
        "new: uint16 pixels are divided by 257, as the training images hold brightness of 0 to 255",
    ),
    (
        BYTES * np.uint16(257),
        BYTES,
        "new: uint8 pixels are multiplied by 257, as the training images hold brightness of 0 to 65535",
    ),
    (
        BYTES / 255,
        BYTES * np.uint16(257),
        "new: uint16 pixels are divided by 65535, as the training images hold brightness of 0 to 1",
    ),
    (BYTES, BYTES * 1.0, "new: pixels go from 0 to 255, taken as brightness of 0 to 255, as in training"),
    (BYTES, BYTES.astype(np.int64), "new: pixels go from 0 to 255, taken as brightness of 0 to 255, as in training"),
    (BYTES * 1.0, BYTES, None),
    (BYTES > 127, (BYTES > 127) * np.uint8(255), None),
]


@pytest.mark.parametrize(("trained", "given", "line"), CONVERTED)
def test_later_images_of_another_kind_are_converted(trained: np.ndarray, given: np.ndarray, line: str | None) -> None:
    preparation, parts = prepare_images(images(trained))
    x, notes = later(preparation, given)
    np.testing.assert_allclose(x, parts.x, atol=1e-5)
    assert notes == ((line,) if line else ())
    for row in range(3):
        np.testing.assert_array_equal(later(preparation, given[row : row + 1])[0], x[row : row + 1])


MASKS = (BYTES > 127).astype(np.uint8)
REFUSED = [
    (
        BYTES,
        BYTES / 255,
        r"pixels go from 0 to 1, the training images hold brightness of 0 to 255: multiply them by 255",
    ),
    (BYTES * 1.0, BYTES / 255, "multiply them by 255"),
    (BYTES.astype(np.int64), BYTES / 255, "multiply them by 255"),
    (BYTES * np.uint16(257), BYTES / 255, "multiply them by 65535"),
    (BYTES / 2.55, BYTES / 255, r"images hold values from 0 to 100: bring them to the same scale"),
    (BYTES / 2.55, BYTES, r"brightness of 0 to 255 \(uint8\), but the training images hold values from 0 to 100"),
    (
        BYTES / 255,
        BYTES * 1.0,
        r"row 1 holds \d+, the training images hold brightness of 0 to 1: bring the images to",
    ),
    (BYTES / 255, BYTES.astype(np.int64), r"row 1 holds \d+, the training images hold brightness of 0 to 1"),
    (BYTES / 255, BYTES / 127.5 - 1, "row 1 holds -"),
    (BYTES / 127.5 - 1, BYTES * 1.0, r"row 1 holds \d+, the training images hold values from -1 to 1"),
    (BYTES / 127.5 - 1, BYTES, r"save the images in these units"),
    (MASKS, BYTES, r"row 1 holds \d+, the training images hold brightness of 0 to 1"),
    (
        BYTES * np.uint16(257),
        BYTES.astype(np.int64),
        "from 0 to 255, .* 0 to 65535: bring them .*, or save them as uint16",
    ),
    (BYTES, BYTES / 127.5 - 1, "from -1 to 1, .* 0 to 255: bring them to the same scale, or save them as uint8"),
    (BYTES, BYTES * 100.0, "hold brightness of 0 to 255: bring the images"),
]


@pytest.mark.parametrize(("trained", "given", "words"), REFUSED)
def test_later_images_on_another_scale_are_refused(trained: np.ndarray, given: np.ndarray, words: str) -> None:
    preparation, _ = prepare_images(images(trained))
    with pytest.raises(DataError, match=words):
        later(preparation, given)


def test_parts_on_different_scales_are_refused() -> None:
    both = np.concatenate([BYTES[:40] / 255, BYTES[40:] * 1.0])
    with pytest.raises(
        DataError, match=r"set: row 1 of the test part holds \d+, the training images hold brightness of 0 to 1"
    ):
        prepare_images(images(both, test=20))


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_part_on_another_scale_is_not_hidden_by_the_other_part(part: str) -> None:
    def of_units(train: Any, other: Any) -> Images:
        given = {"validation": [other, train], "test": [train, other]}[part]
        array = np.concatenate([train[:40], given[0][40:50], given[1][50:]])
        return Images("set", to_pixels("set", array), np.arange(60) % 2, validation=10, test=10)

    with pytest.raises(
        DataError, match=rf"pixels of the {part} part go from 0.* to 1, .* 0 to 255: multiply them by 255"
    ):
        prepare_images(of_units(BYTES * 1.0, BYTES / 255))
    bright = (BYTES > 127) * np.uint16(65535)
    for train, dark in ((BYTES, BYTES // 250), (BYTES / 255, BYTES / 255 / 250), (bright, BYTES.astype(np.uint16))):
        (note,) = [note for note in prepare_images(of_units(train, dark))[1].notes if "nearly black" in note]
        assert note.startswith(f"set: pixels of the {part} part go from ")


def test_dark_and_bright_pictures_are_told_of() -> None:
    preparation, _ = prepare_images(images(BYTES))
    assert later(preparation, MASKS)[1] == (
        "new: pixels go from 0 to 1: nearly black to a network trained on brightness of 0 to 255",
    )
    dim, _ = prepare_images(images(BYTES.astype(np.uint16)))
    assert later(dim, BYTES * np.uint16(4))[1] == ()
    assert later(dim, BYTES * np.uint16(257))[1] == (
        "new: pixels go from 0 to 65535: much brighter than the training images, which end at 255",
    )
    dim, _ = prepare_images(images(BYTES // 16))
    assert later(dim, BYTES)[1] == (
        "new: pixels go from 0 to 255: much brighter than the training images, which end at 15",
    )


def test_numbers_that_lost_their_sign_are_told_of() -> None:
    preparation, _ = prepare_images(images(BYTES / 127.5 - 1))
    assert later(preparation, BYTES / 255)[1] == (
        "new: pixels go from 0 to 1, none of them below 0: the training images hold values from -1 to 1",
    )


def test_masks_for_a_network_trained_on_fractions() -> None:
    preparation, _ = prepare_images(images(BYTES / 255))
    assert later(preparation, MASKS)[1] == (
        "new: uint8 pixels are divided by 255, as the training images hold brightness of 0 to 1",
        "new: pixels go from 0 to 1: nearly black to a network trained on brightness of 0 to 1",
    )


def test_pictures_are_named() -> None:
    preparation, _ = prepare_images(images(BYTES / 255))
    stray = np.full((3, 4, 5, 1), 0.5)
    stray[1, 0, 0] = 9
    new = Images("new", stray, files=("a.tif", "b.tif", "c.tif"))
    assert preparation.whole_rows(new, with_target=False).notes == (
        "b.tif holds 9, the training images hold brightness of 0 to 1: such values are taken as they are, 1 of 60",
    )


def test_masks() -> None:
    preparation, parts = prepare_images(images(MASKS))
    assert parts.notes == ("set: pixels go from 0 to 1, taken as brightness of 0 to 1",)
    x, notes = later(preparation, MASKS * 1.0)
    np.testing.assert_array_equal(x, parts.x)
    assert len(notes) == 1


@pytest.mark.parametrize("case", SAME)
def test_black_is_at_the_dark_end(case: str) -> None:
    array = SAME[case][0]
    preparation, parts = prepare_images(images(array), validation=0, test=0)
    np.testing.assert_allclose(preparation.black(), parts.x.min(), atol=1e-5)


def test_bytes_stay_bytes_and_take_no_more_memory() -> None:
    data = images(BYTES)
    assert data.pixels.dtype == np.uint8
    assert data.pixels.base is BYTES or np.shares_memory(data.pixels, BYTES)
    for kind in (np.uint16, np.float32):
        array = BYTES.astype(kind)
        assert np.shares_memory(images(array).pixels, array)
