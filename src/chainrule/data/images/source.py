"""Images from any source: a name, a folder, IDX files, a NumPy archive, one picture."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np

from chainrule.data.digits import digit_images
from chainrule.data.images.archive import archive_holds_images, read_archive
from chainrule.data.images.dataset import Images, Reading
from chainrule.data.images.folder import read_folder, read_pictures
from chainrule.data.images.idx import looks_like_idx
from chainrule.data.images.idx_files import holds_idx_files, read_idx_folder, read_idx_pair
from chainrule.data.images.named import NAMED, read_named
from chainrule.data.images.picture import Form, conform, is_picture
from chainrule.data.reading import reading
from chainrule.errors import DataError
from chainrule.files import as_path

TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq")
READ = "a folder of class/name.png, an IDX file, a .npz with x of shape (n, height, width[, channels]) and y"


def holds_images(source: str) -> bool:
    """Whether a name or path refers to images; not for tables and missing files."""
    path = Path(source)
    if source in NAMED:
        return True
    if not os.path.exists(path) or path.name.lower().endswith(TABLES):
        return False
    if path.suffix.lower() == ".npz":
        return path.is_file() and archive_holds_images(path)
    return path.is_dir() or looks_like_idx(path) or is_picture(path)


def read_images(source: str, options: Reading | None = None, data_dir: str | None = None) -> Images:
    """Read the images that a name or path refers to, in the form given by `options`.

    Raises FileError if something cannot be read, DataError if there are no images or the options do not allow them,
    LabelError for targets that are not classes.

    >>> np.savez("digits.npz", x=np.zeros((20, 8, 8), np.uint8), y=np.arange(20) % 10)
    >>> read_images("digits.npz", Reading(height=32, width=32, resize=True)).pixels.shape
    (20, 32, 32, 1)
    """
    options = options or Reading()
    path = as_path("read_images", source)
    if source not in NAMED and source != "digits" and path.is_dir() and not holds_idx_files(path):
        return read_folder(path, options)
    images = _read_arrays(source, options, data_dir)
    if not options.sized and options.channels is None:
        return images
    _, height, width, channels = images.pixels.shape
    form = Form(options.height or height, options.width or width, options.channels or channels)
    pixels = conform(source, images.pixels, form, options)
    return dataclasses.replace(images, source=source, pixels=pixels)


def _read_arrays(source: str, options: Reading, data_dir: str | None) -> Images:
    """Images that already have the same form."""
    path = Path(source)
    if source in NAMED:
        return read_named(source, data_dir)
    if source == "digits":
        pixels, labels = digit_images()
        return Images(source, pixels[..., None], labels.astype(np.int64))
    with reading(path):
        path.stat()
    if path.is_dir():
        return read_idx_folder(path, labelled=options.labelled)
    if path.suffix.lower() == ".npz":
        return read_archive(path, labelled=options.labelled)
    if looks_like_idx(path):
        return read_idx_pair(path, labelled=options.labelled)
    if is_picture(path):
        return _read_one(path, options)
    raise DataError(f"{source}: holds no readable images: expected {READ}")


def _read_one(path: Path, options: Reading) -> Images:
    """One picture, without a label."""
    if options.labelled:
        raise DataError(f"{path}: one picture, without a label: expected {READ}")
    return dataclasses.replace(read_pictures([path], options), files=(path.name,))
