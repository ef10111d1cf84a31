"""Images in IDX files, like MNIST: a file of images, a file of labels with nearly the same name, and a test pair."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from chainrule.data.images.dataset import Images
from chainrule.data.images.idx import read_idx
from chainrule.data.images.pixels import join, to_pixels
from chainrule.data.images.targets import check_targets
from chainrule.errors import DataError, FileError

IMAGES = re.compile(r"^(?P<part>.*)images[-_.]?idx\d.*$", re.IGNORECASE)
TRAIN, TEST = ("train",), ("t10k", "test")


def read_idx_pair(path: Path, *, labelled: bool = True) -> Images:
    """The images of one file, with the labels from the file next to it: `labels` for `images` in its name.

    Raises FileError if either cannot be read, and the same errors as `read_idx`, `to_pixels` and `check_targets`.
    """
    pixels = to_pixels(str(path), read_idx(path))
    labels = _labels_beside(path)
    if labels is None and labelled:
        raise FileError(
            f"{path}: no file of labels next to it: expected {path.name.replace('images', 'labels')}, with idx1 for "
            "idx3, each with .gz or without"
        )
    targets = None if labels is None else check_targets(str(labels), read_idx(labels), len(pixels))
    return Images(str(path), pixels, targets)


def read_idx_folder(folder: Path, *, labelled: bool = True) -> Images:
    """The images of train-images-idx3-ubyte in a folder and, as the test part, those of t10k-images-idx3-ubyte.

    A folder with one pair of any name works too. Raises the same errors as `read_idx_pair`, and DataError for other
    files.
    """
    found = {m["part"].strip("-_. ").lower(): folder / name for name in _files(folder) if (m := IMAGES.match(name))}
    train = next((found[part] for part in TRAIN if part in found), None)
    test = next((found[part] for part in TEST if part in found), None)
    if train is None and len(found) == 1:
        train, test = next(iter(found.values())), None
    if train is None:
        raise DataError(
            f"{folder}: has several files of images, {', '.join(sorted(found))}, and no train-images: name one"
        )
    first = read_idx_pair(train, labelled=labelled)
    if test is None:
        return first
    second = read_idx_pair(test, labelled=labelled)
    if first.pixels.shape[1:] != second.pixels.shape[1:]:
        raise DataError(
            f"{folder}: {train.name} holds images of {first.pixels.shape[1:]}, {test.name} of {second.pixels.shape[1:]}"
        )
    pixels, notes = join([(first.source, first.pixels), (second.source, second.pixels)])
    targets = None
    if first.targets is not None and second.targets is not None:
        targets = np.concatenate([first.targets, second.targets])
    return Images(str(folder), pixels, targets, test=second.rows, notes=notes)


def holds_idx_files(folder: Path) -> bool:
    """Whether a folder has a file with a name for IDX images."""
    return any(IMAGES.match(name) for name in _files(folder))


def _files(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_file())


def _labels_beside(path: Path) -> Path | None:
    """The file of labels; both spellings occur, -idx3-ubyte and .idx3-ubyte."""
    plain = re.sub(r"idx\d", "idx1", path.name.replace("images", "labels"), flags=re.IGNORECASE)
    plain = plain.removesuffix(".gz")
    beside = [path.with_name(plain), path.with_name(plain + ".gz")]
    return next((file for file in beside if file != path and file.is_file()), None)
