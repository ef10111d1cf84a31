"""Parts and classes of a folder of pictures, told apart by names; what is skipped is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from chainrule.data import Images, Reading, prepare_images, read_images
from chainrule.errors import DataError

Image = pytest.importorskip("PIL.Image")


def draw(folder: Path, *names: str, count: int = 1) -> Path:
    """Pictures of one shade each, `count` for each name."""
    for name in names:
        for i in range(count):
            path = folder / name.format(i)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (3, 3), i).save(path, format="PNG")
    return folder


def parts_of(images: Images) -> list[list[str]]:
    """The files of the training, validation and test part."""
    ends = [images.rows - images.validation - images.test, images.rows - images.test]
    return [list(images.files[: ends[0]]), list(images.files[ends[0] : ends[1]]), list(images.files[ends[1] :])]


NAMES = [
    ("train", "val", None),
    ("Train", None, "Test"),
    ("train", "valid", "test"),
    ("training", "validation", "testing"),
    ("TRAIN", "dev", "eval"),
    ("training_set", None, "test_set"),
    ("train2017", "val2017", None),
    ("train", "eval", "test"),
    ("train", None, "evaluation"),
    ("train", None, None),
]


@pytest.mark.parametrize("inside", [False, True], ids=["around the classes", "inside the classes"])
@pytest.mark.parametrize("names", NAMES, ids=str)
def test_parts_are_no_classes(tmp_path: Path, names: tuple[str | None, ...], inside: bool) -> None:
    files = [
        [f"{kind}/{part}/{part}.png" if inside else f"{part}/{kind}/{part}.png" for kind in ("cat", "dog") if part]
        for part in names
    ]
    images = read_images(str(draw(tmp_path, *(name for part in files for name in part))))
    assert images.names == ("cat", "dog")
    assert parts_of(images) == files
    assert images.targets is not None
    assert images.targets.tolist() == [0, 1] * sum(name is not None for name in names)
    listed = [name for name in names if name]
    kind = "is a part, not a class" if len(listed) == 1 else "are parts, not classes"
    assert f"{' and '.join([', '.join(listed[:-1]), listed[-1]][len(listed) == 1 :])} {kind}" in images.notes[0]


def test_given_parts_are_the_split(tmp_path: Path) -> None:
    draw(tmp_path, "train/cat/{}.png", "train/dog/{}.png", count=20)
    draw(tmp_path, "val/cat/{}.png", "val/dog/{}.png", count=5)
    images = read_images(str(tmp_path))
    _, parts = prepare_images(images, validation=0.1, test=0.2)
    assert [len(rows) for rows in (parts.split.train, parts.split.validation, parts.split.test)] == [32, 10, 8]
    assert {images.files[row].split("/")[0] for row in parts.split.validation} == {"val"}
    assert {images.files[row].split("/")[0] for row in (*parts.split.train, *parts.split.test)} == {"train"}
    draw(tmp_path, "test/cat/{}.png", "test/dog/{}.png", count=3)
    images = read_images(str(tmp_path))
    _, parts = prepare_images(images, validation=0.1, test=0.2)
    assert [len(rows) for rows in (parts.split.train, parts.split.validation, parts.split.test)] == [40, 10, 6]
    assert {images.files[row].split("/")[0] for row in parts.split.test} == {"test"}
    _, parts = prepare_images(images, validation=0.0, test=0.0)
    assert [len(rows) for rows in (parts.split.train, parts.split.validation, parts.split.test)] == [40, 0, 0]


def test_parts_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    read = [
        read_images(str(draw(tmp_path / part, "train/a/1.png", "train/b/1.png", f"{part}/a/1.png", f"{part}/b/1.png")))
        for part in ("val", "test")
    ]
    assert read[0].fingerprint() != read[1].fingerprint()


@pytest.mark.parametrize("name", ["test", "Train", "dev", "val"])
def test_a_class_may_be_called_like_a_part(tmp_path: Path, name: str) -> None:
    images = read_images(str(draw(tmp_path, "cat/1.png", "dog/1.png", f"{name}/1.png")))
    assert set(images.names) == {"cat", "dog", name}
    assert (images.rows, images.validation, images.test) == (3, 0, 0)
    assert images.notes == (f"{tmp_path}: {name} is read as a class, because it is next to cat",)


def test_a_folder_without_pictures_beside_parts(tmp_path: Path) -> None:
    draw(tmp_path, "train/cat/1.png", "train/dog/1.png", "test/cat/1.png")
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "boxes.json").write_text("{}")
    images = read_images(str(tmp_path))
    assert (images.names, images.test) == (("cat", "dog"), 1)
    assert f"{tmp_path / 'test'}: holds no pictures of dog" in images.notes
    assert f"{tmp_path}: skipped 1 non-picture file (boxes.json)" in images.notes


def test_a_folder_in_a_folder(tmp_path: Path) -> None:
    images = read_images(str(draw(tmp_path, "data/train/cat/1.png", "data/train/dog/1.png", "data/val/dog/1.png")))
    assert images.names == ("cat", "dog")
    assert parts_of(images)[1] == ["data/val/dog/1.png"]


def test_test_pictures_without_classes(tmp_path: Path) -> None:
    images = read_images(str(draw(tmp_path, "train/cat/1.png", "train/dog/1.png", "test/1.png", "test/2.png")))
    assert (images.rows, images.test) == (2, 0)
    assert f"{tmp_path / 'test'}: has no folder for each class, so it is not used" in images.notes
    assert f"{tmp_path}: skipped 2 pictures outside the folders of the classes (1.png, 2.png)" in images.notes


def test_a_class_of_folders_may_be_called_like_a_part(tmp_path: Path) -> None:
    images = read_images(str(draw(tmp_path, "bus/old/1.png", "car/old/1.png", "train/steam/1.png")))
    assert images.names == ("bus", "car", "train")
    assert images.notes == (f"{tmp_path}: train is read as a class, because it is next to bus",)


def test_parts_in_folders_of_their_own_name(tmp_path: Path) -> None:
    """As some archives are unpacked; pictures without classes stand beside."""
    names = [f"seg_{part}/seg_{part}/{kind}/1.png" for part in ("train", "test") for kind in ("hill", "sea")]
    images = read_images(str(draw(tmp_path, *names, "seg_pred/seg_pred/1.png")))
    assert (images.names, images.rows, images.test) == (("hill", "sea"), 4, 2)
    assert images.notes == (
        f"{tmp_path}: seg_train and seg_test are parts, not classes",
        f"{tmp_path}: skipped 1 picture outside the folders of the classes (1.png)",
    )


MISTAKES = {
    "other classes": (
        ("train/cat/1.png", "train/dog/1.png", "val/cats/1.png"),
        r'val: has a class that train has not, cats: add pictures of it to train.*did you mean "cat"',
    ),
    "two of a kind": (
        ("train/cat/1.png", "Training/cat/1.png"),
        "Training and train are both the train part: join them",
    ),
    "nothing to train on": (("val/cat/1.png", "test/cat/1.png"), "holds test and val but no folder train"),
    "parts beside classes": (
        ("train/cat/1.png", "train/dog/1.png", "cat/1.png"),
        r"train: contains folders like a part, but is next to cat: put all classes into parts, as in train/cat",
    ),
    "a part beside classes": (
        ("cat/1.png", "dog/1.png", "test/cat/1.png", "test/dog/1.png"),
        r"test: contains folders like a part, but is next to cat: put all classes into parts, as in train/cat",
    ),
    "only one class is divided": (
        ("cat/train/1.png", "cat/val/1.png", "dog/1.png"),
        "cat is divided into parts and dog is not: give each class the same parts",
    ),
    "a part of other classes inside": (
        ("cat/train/1.png", "dog/val/1.png", "dog/train/1.png", "eel/val/1.png"),
        "cat is divided into parts and eel is not",
    ),
    "parts without classes": (("train/1.png", "test/1.png"), "train: holds 1 picture but no folder for each class"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_parts_that_do_not_fit(tmp_path: Path, case: str) -> None:
    names, words = MISTAKES[case]
    with pytest.raises(DataError, match=words):
        read_images(str(draw(tmp_path, *names)))


# What is read and what is not --------------------------------------------------------------------------------------

KINDS = {
    "jpg": "JPEG",
    "jfif": "JPEG",
    "jpe": "JPEG",
    "jpeg": "JPEG",
    "JPG": "JPEG",
    "png": "PNG",
    "apng": "PNG",
    "bmp": "BMP",
    "dib": "BMP",
    "gif": "GIF",
    "webp": "WEBP",
    "tif": "TIFF",
    "tiff": "TIFF",
    "pgm": "PPM",
    "ppm": "PPM",
    "pnm": "PPM",
    "ico": "ICO",
    "pcx": "PCX",
    "sgi": "SGI",
    "dds": "DDS",
    "image": "PNG",
}


@pytest.mark.parametrize("end", KINDS)
def test_whatever_pillow_reads_is_read(tmp_path: Path, end: str) -> None:
    """By its name or, where that says nothing, by its content."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("L", (16, 16), 80).save(tmp_path / name / f"1.{end}", format=KINDS[end])
    images = read_images(str(tmp_path))
    assert images.rows == 2
    assert images.notes == ()
    assert abs(images.pixels.astype(int) - 80).max() <= 8
    alone = read_images(str(tmp_path / "a" / f"1.{end}"), Reading(16, 16, 1, labelled=False))
    np.testing.assert_array_equal(alone.pixels, images.pixels[:1] if images.pixels.shape[3] == 1 else alone.pixels)


def test_a_picture_without_a_suffix(tmp_path: Path) -> None:
    images = read_images(str(draw(tmp_path, "a/1", "b/1.of many")))
    assert images.files == ("a/1", "b/1.of many")
    assert read_images(str(tmp_path / "a" / "1"), Reading(3, 3, 1, labelled=False)).rows == 1


def test_pictures_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    draw(tmp_path, "a/1.png", "b/1.png", "loose.png", ".hidden.png", "__MACOSX/1.png")
    for name in ("a/2.heic", "a/3.HEIC", "b/2.svg", "b/3.cr2", "b/notes.txt", "readme", "b/Thumbs.db", "a/.DS_Store"):
        (tmp_path / name).write_bytes(b"of another kind")
    for options, loose in ((Reading(), True), (Reading(labelled=False), False)):
        images = read_images(str(tmp_path), options)
        assert images.rows == 2 + (not loose)
        assert images.notes == (
            *[f"{tmp_path}: skipped 1 picture outside the folders of the classes (loose.png)"] * loose,
            f"{tmp_path}: skipped 4 pictures in an unsupported format "
            "(2.heic, 3.HEIC, 2.svg and 1 more): convert them to PNG",
            f"{tmp_path}: skipped 2 non-picture files (notes.txt, readme)",
        )
    for path in (tmp_path / "a").iterdir():
        if path.suffix == ".png":
            path.unlink()
    with pytest.raises(DataError, match=r"a: holds no pictures: .*2 pictures in an unsupported format.*2.heic, 3.HEIC"):
        read_images(str(tmp_path))
    shutil.rmtree(tmp_path / "b")
    with pytest.raises(DataError, match=r"its folders hold no readable pictures.*2.heic, 3.HEIC"):
        read_images(str(tmp_path))
