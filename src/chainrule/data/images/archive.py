"""Images in NumPy archives: x (n, h, w) or (n, h, w, c) and y (n,), or x_train and y_train, x_val ..., x_test ...."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.images.dataset import Images
from chainrule.data.images.pixels import MOST_BYTES, Pixels, join, to_pixels
from chainrule.data.images.targets import check_targets
from chainrule.data.limits import size_text
from chainrule.data.names import listed
from chainrule.data.reading import UNPACKING, reading
from chainrule.errors import ChainruleError, DataError, FileError
from chainrule.files import open_regular

Array = NDArray[Any]
TRAIN, TEST = "train", "test"
VALIDATION = ("val", "valid", "validation", "dev")
DAMAGE = (ValueError, RuntimeError, NotImplementedError, OverflowError, MemoryError, SyntaxError, TypeError)


def archive_holds_images(path: Path) -> bool:
    """Whether an archive has an array x or x_train with three or more axes; only headers are read."""
    try:
        with reading(path), open_regular(path) as file, zipfile.ZipFile(file) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
            return any(len(_header(archive, name)[0]) > 2 for name in ("x", "x_train") if name in names)
    except FileError:
        raise
    except (OSError, *UNPACKING, *DAMAGE):
        return False  # reading it raises the error


def read_archive(path: Path, *, labelled: bool = True) -> Images:
    """The images of an archive; x_val and y_val are its own validation part, x_test and y_test its test part.

    Raises FileError if it cannot be read; DataError if it is damaged, lacks x or y, or contains more than MOST_BYTES;
    LabelError for targets that are not classes. Nothing in it is ever executed (no pickles).
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
        notes=(*notes, *[f"{path}: skipped the arrays {listed(others)}"] * bool(others)),
    )


def _arrays(path: Path, labelled: bool) -> tuple[dict[str, Array], list[str]]:
    """The arrays of images and targets, part by part, and the names of other arrays."""
    with reading(path), open_regular(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                inside = [name.removesuffix(".npy") for name in archive.namelist()]
                wanted = _wanted(path, inside, labelled)
                _limit(path, archive, wanted)
                others = [name for name in inside if name not in wanted]
                return {name: _array(archive, name) for name in wanted}, others
        except ChainruleError:
            raise
        except DAMAGE as error:
            raise DataError(
                f"{path}: not a readable NumPy archive ({error}): use np.savez_compressed(path, x=x, y=y)"
            ) from None


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


def _limit(path: Path, archive: zipfile.ZipFile, names: list[str]) -> None:
    """Reject more than MOST_BYTES, according to the headers and to the archive."""
    announced = 0
    for name in names:
        shape, kind = _header(archive, name)
        if kind.hasobject:
            fix = f"save {name}.astype(str), or {name}.astype(float) for numbers"
            raise DataError(f'{path}: array "{name}" holds Python objects: {fix}')
        announced += max(math.prod(shape) * kind.itemsize, archive.getinfo(f"{name}.npy").file_size)
    if announced > MOST_BYTES:
        raise DataError(
            f"{path}: unpacks to {size_text(announced)}, at most {size_text(MOST_BYTES)} are read: use a part of it"
        )


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with archive.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = read(file)
    return shape, kind


def _array(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(f"{name}.npy") as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array
