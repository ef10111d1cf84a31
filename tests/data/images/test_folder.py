"""Folders of pictures: any size and mode, and whatever people and programs leave in them."""

from __future__ import annotations

import functools
import io
import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from chainrule.data.images import Images, Reading, holds_images, read_images
from chainrule.data.images.picture import Form, read_picture
from chainrule.data.images.pixels import BLOCK
from chainrule.errors import DataError, FileError

Image = pytest.importorskip("PIL.Image")
RNG = np.random.default_rng(0)


def picture(height: int = 6, width: int = 5, mode: str = "L") -> Image.Image:
    return Image.fromarray(RNG.integers(0, 256, (height, width, 3)).astype(np.uint8)).convert(mode)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three cats and two dogs, in greys."""
    for name in ("dogs/1.png", "dogs/2.png", "cats/b.png", "cats/a.png", "cats/c.PNG"):
        path = tmp_path / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture().save(path)
    return tmp_path / "pets"


def test_classes_and_order(folder: Path) -> None:
    images = read_images(str(folder))
    assert holds_images(str(folder))
    assert images.names == ("cats", "dogs")
    assert images.files == ("cats/a.png", "cats/b.png", "cats/c.PNG", "dogs/1.png", "dogs/2.png")
    assert images.targets is not None
    assert images.targets.tolist() == [0, 0, 0, 1, 1]
    assert images.pixels.shape == (5, 6, 5, 1)
    for pixels, name in zip(images.pixels, images.files, strict=True):
        np.testing.assert_array_equal(pixels[..., 0], np.asarray(Image.open(folder / name)))


def test_the_order_is_not_the_file_systems(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = read_images(str(folder))
    iterdir, walk = Path.iterdir, os.walk
    monkeypatch.setattr(Path, "iterdir", lambda path: sorted(iterdir(path), reverse=True))
    monkeypatch.setattr(os, "walk", lambda path: [(p, d, sorted(f, reverse=True)) for p, d, f in walk(path)])
    after = read_images(str(folder))
    assert before.files == after.files
    assert before.fingerprint() == after.fingerprint()


def test_what_is_not_a_picture_is_passed_over(folder: Path) -> None:
    (folder / "readme.txt").write_text("pets")
    (folder / ".git").mkdir()
    (folder / "cats" / ".hidden.png").write_bytes(b"")
    (folder / "cats" / "Thumbs.db").write_bytes(b"")
    os.mkfifo(folder / "cats" / "pipe.png")
    (folder / "cats" / "folder.png").mkdir()
    (folder / "cats" / "lost.png").symlink_to("nowhere.png")
    (folder / "cats" / "round").symlink_to("..")
    assert read_images(str(folder)).rows == 5


def test_folders_in_folders_and_odd_names(folder: Path) -> None:
    (folder / "cats" / "more" / "of them").mkdir(parents=True)
    picture().save(folder / "cats" / "more" / "of them" / "ä$ü.png")
    picture().save(os.fsencode(folder / "dogs") + b"/\xff.png")
    images = read_images(str(folder))
    assert images.rows == 7
    assert "cats/more/of them/ä$ü.png" in images.files
    "".join(images.files).encode()  # can be printed and written


def test_a_test_part(folder: Path) -> None:
    whole = folder.parent / "whole"
    whole.mkdir()
    folder.rename(whole / "train")
    (whole / "test" / "dogs").mkdir(parents=True)
    picture().save(whole / "test" / "dogs" / "3.png")
    images = read_images(str(whole))
    assert (images.rows, images.test) == (6, 1)
    assert images.names == ("cats", "dogs")
    assert images.targets is not None
    assert images.targets[-1] == 1
    (whole / "test" / "dogs").rename(whole / "test" / "birds")
    with pytest.raises(DataError, match="test: has a class that train has not, birds: add pictures"):
        read_images(str(whole))


def fill(path: Path) -> None:
    for name in ("a/1.png", "b/1.png"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        picture().save(path / name)


def loose(path: Path) -> None:
    path.mkdir()
    picture().save(path / "1.png")


def only_text(path: Path) -> None:
    (path / "a").mkdir(parents=True)
    (path / "a" / "x.txt").write_text("x")


def one_empty_class(path: Path) -> None:
    fill(path)
    (path / "c").mkdir()


def another_size(path: Path) -> None:
    fill(path)
    picture(7, 5).save(path / "b" / "2.png")


def truncated(path: Path) -> None:
    fill(path)
    whole = (path / "b" / "1.png").read_bytes()
    (path / "b" / "1.png").write_bytes(whole[: len(whole) // 2])


FOLDERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty": (Path.mkdir, "holds neither pictures nor folders: expected class/name.png"),
    "loose pictures": (loose, "1 picture but no folder for each class"),
    "no pictures": (only_text, "its folders hold no readable pictures"),
    "an empty class": (one_empty_class, r"c: holds no pictures: add some of this class"),
    "another size": (
        another_size,
        r"2.png: is 7 x 5 pixels, expected 6 x 5 \(height x width\): resize with height=6, width=5, resize=True",
    ),
    "truncated": (truncated, r"b/1.png: damaged or cut short .*broken=.skip. leaves such files out"),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_bad_folders(tmp_path: Path, case: str) -> None:
    make, words = FOLDERS[case]
    make(tmp_path / "f")
    with pytest.raises(DataError, match=words):
        read_images(str(tmp_path / "f"))


# Modes --------------------------------------------------------------------------------------------------------------


def only(tmp_path: Path, image: Image.Image, options: Reading | None = None, end: str = "png") -> Images:
    """What is read of a folder with this picture in both classes."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / name / f"1.{end}")
    return read_images(str(tmp_path), options)


@pytest.mark.parametrize("mode", ["L", "1", "RGB", "P", "RGBA", "LA", "CMYK"])
@pytest.mark.parametrize("size", [(6, 5), (1, 1)])
def test_modes(tmp_path: Path, mode: str, size: tuple[int, int]) -> None:
    image = picture(*size, mode)
    end = "tif" if mode == "CMYK" else "png"
    images = only(tmp_path, image, end=end)
    channels = 1 if mode in ("L", "1", "LA") else 3
    assert images.pixels.shape == (2, *size, channels)
    expected = np.asarray(image.convert("L" if channels == 1 else "RGB")).reshape(*size, channels)
    np.testing.assert_array_equal(images.pixels[0], expected)


def test_grey_and_colour_together_are_colour(tmp_path: Path) -> None:
    for name, mode in (("a", "L"), ("b", "RGB")):
        (tmp_path / name).mkdir()
        picture(mode=mode).save(tmp_path / name / "1.png")
    images = read_images(str(tmp_path))
    assert images.pixels.shape == (2, 6, 5, 3)
    assert (images.pixels[0] == images.pixels[0, ..., :1]).all()
    assert read_images(str(tmp_path), Reading(6, 5, 1)).pixels.shape == (2, 6, 5, 1)


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 255))
    image.putpixel((1, 0), (10, 20, 30, 0))
    assert only(tmp_path, image).pixels[0].tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_pictures_are_upright(tmp_path: Path) -> None:
    image = picture(6, 5)
    notes = Image.Exif()
    notes[0x0112] = 6  # to be turned by 90 degrees
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        image.save(tmp_path / name / "1.png", exif=notes)
    images = read_images(str(tmp_path))
    np.testing.assert_array_equal(images.pixels[0, ..., 0], np.rot90(np.asarray(image), -1))


def test_resized(folder: Path) -> None:
    picture(40, 60, "RGB").save(folder / "cats" / "large.png")
    picture(1, 1, "RGB").save(folder / "cats" / "point.png")
    images = read_images(str(folder), Reading(8, 9, resize=True))
    assert images.pixels.shape == (7, 8, 9, 3)


# Bombs and damage ---------------------------------------------------------------------------------------------------


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, data: bytes, more: bytes = b"") -> bytes:
    """A PNG file of one bit a pixel that announces this size."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + more + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def text_bomb() -> bytes:
    content = b"Comment\0\0" + zlib.compress(bytes(100_000_000))
    return struct.pack(">I", len(content)) + b"zTXt" + content + struct.pack(">I", zlib.crc32(b"zTXt" + content))


def jpeg_of(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG")
    return file.getvalue()


@functools.cache
def files() -> dict[str, tuple[bytes, str]]:
    good = png(8, 8, zlib.compress(bytes(16)))
    noise = jpeg_of(picture(64, 64, "RGB"))
    return {
        "bomb": (png(20_000, 20_000, zlib.compress(bytes(2501) * 20_000)), "more than 64,000,000 pixels"),
        "bomb that only announces": (png(2**31 - 1, 2**31 - 1, b""), "more than 64,000,000 pixels|damaged"),
        "text bomb": (png(8, 8, zlib.compress(bytes(16)), text_bomb()), "damaged or cut short"),
        "empty file": (b"", "not in a readable picture format"),
        "text": (b"hello", "not in a readable picture format"),
        "header only": (good[:33], "damaged or cut short|not in a readable"),
        "no pixels": (png(0, 0, b""), "damaged or cut short|not in a readable"),
        "cut PNG": (good[:-30], "damaged or cut short|not in a readable"),
        "PNG of other data": (png(8, 8, b"no zlib"), "damaged or cut short"),
        "PNG of little data": (png(8, 8, zlib.compress(bytes(3))), "damaged or cut short"),
        "cut JPEG": (noise[: len(noise) // 2], "damaged or cut short"),
        "JPEG of a header": (noise[:30], "damaged or cut short|not in a readable"),
        "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n", "not in a readable picture format"),
    }


@pytest.mark.parametrize("case", files())
def test_bad_pictures(folder: Path, case: str) -> None:
    content, words = files()[case]
    bad = folder / "cats" / "bad.png"
    bad.write_bytes(content)
    with pytest.raises(DataError, match=words) as raised:
        read_images(str(folder))
    assert str(bad) in str(raised.value)
    images = read_images(str(folder), Reading(broken="skip"))
    assert images.rows == 5
    assert images.targets is not None
    assert images.targets.tolist() == [0, 0, 0, 1, 1]
    assert str(bad) in images.notes[0]
    assert images.notes[-1] == f"{folder}: 1 of 6 pictures is left out"


def test_a_bomb_takes_no_memory(folder: Path) -> None:
    (folder / "cats" / "bomb.png").write_bytes(files()["bomb"][0])
    (folder / "cats" / "text.png").write_bytes(files()["text bomb"][0])
    code = (
        "import sys, resource; import PIL.Image, PIL.PngImagePlugin; from chainrule.data.images import *;"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss;"
        "print(read_images(sys.argv[1], Reading(broken='skip')).rows);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    rows, kilobytes = map(int, done.stdout.split())
    assert rows == 5
    assert kilobytes < 100_000


def test_any_damage_ends_in_one_error(folder: Path) -> None:
    """Bytes changed and cut at random: a picture, or one error of ours that names the file."""
    bad = folder / "cats" / "bad.png"
    for end, mode in (("PNG", "P"), ("JPEG", "RGB"), ("GIF", "P"), ("BMP", "RGB"), ("TIFF", "L"), ("WEBP", "RGB")):
        picture(6, 5, mode).save(bad, end)
        whole = bad.read_bytes()
        for _ in range(40):
            content = bytearray(whole[: RNG.integers(1, len(whole) + 1)])
            for place in RNG.integers(0, len(content), 3):
                content[place] = RNG.integers(0, 256)
            bad.write_bytes(content)
            try:
                read_images(str(folder), Reading(6, 5, 3, resize=True))
            except DataError as error:
                assert str(bad) in str(error)  # noqa: PT017 - a changed byte may also be harmless


def test_many_broken_ones_are_counted(folder: Path) -> None:
    for i in range(9):
        (folder / "cats" / f"bad{i}.jpg").write_bytes(b"")
    notes = read_images(str(folder), Reading(broken="skip")).notes
    assert len(notes) == 7
    assert notes[-2:] == ("... and 4 more", f"{folder}: 9 of 14 pictures are left out")


def test_a_class_all_broken(folder: Path) -> None:
    for path in (folder / "dogs").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="dogs: none of its pictures can be read"):
        read_images(str(folder), Reading(broken="skip"))
    for path in (folder / "cats").iterdir():
        path.write_bytes(b"")
    for options in (Reading(broken="skip"), Reading(6, 5, 1, broken="skip")):
        with pytest.raises(DataError, match="none of the 5 pictures can be read"):
            read_images(str(folder), options)


def test_too_many_pixels_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chainrule.data.images.folder.MOST_BYTES", 100)
    with pytest.raises(DataError, match=r"5 pictures of 6 x 5 take 150 bytes, at most 100 bytes are read"):
        read_images(str(folder))


def test_without_pillow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(FileError, match="reading pictures needs Pillow: pip install Pillow"):
        read_images(str(folder))


def test_one_picture(folder: Path) -> None:
    path = str(folder / "cats" / "a.png")
    with pytest.raises(DataError, match="one picture, without a label"):
        read_images(path)
    images = read_images(path, Reading(3, 3, 3, resize=True, labelled=False))
    assert images.pixels.shape == (1, 3, 3, 3)
    assert images.targets is None
    with pytest.raises(FileError, match="no such file"):
        read_images(str(folder / "cats" / "z.png"))


def test_pictures_without_classes(folder: Path) -> None:
    images = read_images(str(folder / "cats"), Reading(6, 5, 1, labelled=False))
    assert images.files == ("a.png", "b.png", "c.PNG")
    assert images.targets is None


@pytest.mark.parametrize("dtype", [np.uint16, np.uint8])
def test_a_large_picture_is_not_held_many_times_over(tmp_path: Path, dtype: type) -> None:
    Image.fromarray(np.full((3000, 3000), 77, dtype)).save(tmp_path / "large.png")
    tracemalloc.start()
    try:
        pixels = read_picture(tmp_path / "large.png", Form(8, 8, 1), Reading(resize=True))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (pixels == pixels[0, 0, 0]).all()
    assert peak < 3000 * 3000 * 4 + 12 * BLOCK  # what came, the result, and a few blocks of int32
