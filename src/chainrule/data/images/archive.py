"""Images in NumPy archives: x (n, h, w) or (n, h, w, c) and y (n,), or x_train and y_train, x_val ..., x_test ...."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.archives import open_archive
from chainrule.data.images.dataset import Images
from chainrule.data.images.pixels import MOST_BYTES, Pixels, join, to_pixels
from chainrule.data.images.targets import check_targets
from chainrule.data.limits import room, size_text
from chainrule.data.names import listed
from chainrule.errors import DataError

Array = NDArray[Any]
TRAIN, TEST = "train", "test"
VALIDATION = ("val", "valid", "validation", "dev")


def archive_holds_images(path: Path) -> bool:
    """Whether an archive has an array x or x_train with three or more axes; only headers are read."""
    try:
        with open_archive(path) as archive:
            names = [name for name in ("x", "x_train") if name in archive.names]
            return any(len(archive.header(name).shape) > 2 for name in names)
    except DataError:
        return False  # reading it raises the error


def read_archive(path: Path, *, labelled: bool = True) -> Images:
    """The images of an archive; x_val and y_val are its own validation part, x_test and y_test its test part.

    Raises FileError if it cannot be read; DataError if it is damaged, lacks x or y, or contains more than MOST_BYTES;
    LabelError for targets that are not classes.
    """
    arrays, others = _arrays(path, labelled)
    pixels: list[tuple[str, Pixels]] = []
    targets: list[Array] = []
    sizes: dict[str, int] = {}
    for x in [name for name in arrays if name.startswith("x")]:
        y = "y" + x[1:]
        part = to_pixels(f"{path}: {x}", arrays[x])
        if pixels and part.shape[1:] != pixels[0][1].shape[1:]:
            raise DataError(f"{path}: x_train holds images of {pixels[0][1].shape[1:]}, {x} of {part.shape[1:]}")
        pixels.append((f"{path}: {x}", part))
        sizes[x] = len(part)
        if y in arrays:
            targets.append(check_targets(f"{path}: {y}", arrays[y], len(part)))
    joined, notes = join(pixels)
    return Images(
        str(path),
        joined,
        np.concatenate(targets) if len(targets) == len(pixels) else None,
        validation=sum(sizes.get(f"x_{name}", 0) for name in VALIDATION),
        test=sizes.get(f"x_{TEST}", 0),
        notes=(*notes, *[f"{path}: skipped {listed(others)}"] * bool(others)),
    )


def _arrays(path: Path, labelled: bool) -> tuple[dict[str, Array], list[str]]:
    """The arrays of images and targets, part by part, and the names of what else there is."""
    with open_archive(path) as archive:
        wanted = _wanted(path, archive.names, labelled)
        size, most = sum(archive.header(name).size for name in wanted), min(MOST_BYTES, room())
        if size > most:
            raise DataError(
                f"{path}: unpacks to {size_text(size)}, at most {size_text(most)} are read: use a part of it"
            )
        others = [name for name in archive.names if name not in wanted]
        return {name: archive.array(name) for name in wanted}, [*others, *archive.others]


def _wanted(path: Path, inside: list[str], labelled: bool) -> list[str]:
    """Which arrays to read; raises DataError if a required one is missing."""
    parted = f"x_{TRAIN}" in inside
    ends = [f"_{name}" for name in (TRAIN, *VALIDATION, TEST)] if parted else [""]
    lacking = [name for name in (f"x{ends[0]}", f"y{ends[0]}")[: 1 + labelled] if name not in inside]
    if lacking:
        raise DataError(f'{path}: there is no array "{lacking[0]}", it holds {listed(inside) or "nothing"}')
    half = next((end for end in ends if (f"x{end}" in inside) != (f"y{end}" in inside)), None)
    if labelled and half is not None:
        raise DataError(f"{path}: holds one of x{half} and y{half}: save both, or none")
    return [name for end in ends for name in (f"x{end}", f"y{end}") if name in inside]
