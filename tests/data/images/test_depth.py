"""Pictures of more than 8 bits, and of numbers, keep their values; what is lost is told."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from tests.data.images.test_folder import chunk, only, picture

from chainrule.data.images import Reading, read_images
from chainrule.errors import DataError

Image = pytest.importorskip("PIL.Image")


def pets(folder: Path) -> None:
    for name in ("dogs/1.png", "dogs/2.png", "cats/b.png", "cats/a.png", "cats/c.PNG"):
        (folder / name).parent.mkdir(exist_ok=True)
        picture().save(folder / name)


def deep_png(height: int, width: int) -> bytes:
    """A PNG file of 16 bits for each of red, green and blue."""
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    data = zlib.compress((b"\0" + b"\x12\x34" * 3 * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_16_bits_stay(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 256, 65535]], np.uint16)
    images = only(tmp_path, Image.fromarray(values))
    assert images.pixels.dtype == np.uint16
    assert images.pixels[0, 0, :, 0].tolist() == [0, 128, 129, 256, 65535]
    assert not images.notes
    tiff = only(tmp_path / "tiff", Image.fromarray(values), end="tif")
    np.testing.assert_array_equal(tiff.pixels, images.pixels)
    colours = read_images(str(tmp_path / "tiff"), Reading(1, 5, 3))
    assert colours.pixels[0, 0, :, 2].tolist() == [0, 128, 129, 256, 65535]


def test_numbers_stay(tmp_path: Path) -> None:
    wide = np.array([[-70000, 0, 3000000]], np.int32)
    np.testing.assert_array_equal(only(tmp_path / "wide", Image.fromarray(wide), end="tif").pixels[0, ..., 0], wide)
    real = np.array([[-0.5, 1e-3, 300.25]], np.float32)
    np.testing.assert_array_equal(only(tmp_path / "real", Image.fromarray(real), end="tif").pixels[0, ..., 0], real)
    small = read_images(str(tmp_path / "real"), Reading(1, 1, 1, resize=True)).pixels
    assert small.dtype == np.float32
    assert -0.5 < small[0, 0, 0, 0] < 300.25
    with pytest.raises(DataError, match=r"a/1.tif holds the pixel nan, not finite: .*broken=.skip"):
        only(tmp_path / "nan", Image.fromarray(real * np.float32(np.nan)), end="tif")
    picture().save(tmp_path / "real" / "b" / "2.png")
    with pytest.raises(DataError, match=r"a/1.tif holds float32, .*b/2.png uint8: their scales cannot be compared"):
        read_images(str(tmp_path / "real"), Reading(1, 1, 1, resize=True))


def test_8_bits_among_16(tmp_path: Path) -> None:
    pets(tmp_path)
    Image.fromarray(np.full((6, 5), 1000, np.uint16)).save(tmp_path / "dogs" / "1.png")
    images = read_images(str(tmp_path))
    assert images.pixels.dtype == np.uint16
    for pixels, name in zip(images.pixels, images.files, strict=True):
        factor = 1 if name == "dogs/1.png" else 257
        np.testing.assert_array_equal(pixels[..., 0], np.asarray(Image.open(tmp_path / name)).astype(int) * factor)
    assert images.notes == (
        f"{tmp_path}: 4 pictures have 8 bits and others 16 (a.png, b.png, c.PNG and 1 more): "
        "their values are multiplied by 257",
    )


def test_what_is_lost_is_told(tmp_path: Path) -> None:
    pets(tmp_path)
    (tmp_path / "cats" / "deep.png").write_bytes(deep_png(6, 5))
    first, *others = (picture(mode="P") for _ in range(3))
    first.save(tmp_path / "dogs" / "moving.gif", save_all=True, append_images=others)
    (tmp_path / "cats" / "deep.ppm").write_bytes(b"P6 5 6 65535\n" + bytes(180))
    (tmp_path / "cats" / "plain.ppm").write_bytes(b"P3 5 6 1023\n" + b"9 " * 90)
    (tmp_path / "cats" / "lines.pbm").write_bytes(b"P1 5 6\n" + b"1 0 " * 15)
    assert read_images(str(tmp_path)).notes == (
        f"{tmp_path}: 3 pictures have more than 8 bits for each colour (deep.png, deep.ppm, plain.ppm): "
        "8 of them are read",
        f"{tmp_path}: 1 picture has several frames (moving.gif): the first is read",
    )


def test_a_transparent_grey_of_16_bits_is_white(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.array([[7, 300]], np.uint16)).save(tmp_path / name / "1.png", transparency=300)
    assert read_images(str(tmp_path)).pixels[0, 0, :, 0].tolist() == [7, 65535]
