"""Folders of pictures: class/name.png, or with a test part train/class/name.png and test/class/name.png."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chainrule.data.images.dataset import Images, Reading
from chainrule.data.images.picture import SUFFIXES, BadPictureError, Form, is_picture, look, read_picture
from chainrule.data.images.pixels import MOST_BYTES, Pixels, size_text
from chainrule.data.reading import reading
from chainrule.errors import DataError

PARTS = ("train", "test")
NAMED = 5  # broken files that are named one by one


@dataclass(frozen=True)
class Found:
    """Pictures of a folder: their paths, and the number of each one's class."""

    paths: list[Path]
    places: list[int]


def read_folder(folder: Path, options: Reading) -> Images:
    """The pictures of a folder in the order of class and path, whatever the file system's own order is.

    Without `options.labelled` every picture anywhere in the folder is taken, and classes are not looked at. Raises
    FileError when a file cannot be read; DataError for a folder without pictures, a class without one, a picture of
    another size or a broken one, where the options refuse these, and for more than MOST_BYTES of pixels.
    """
    with reading(folder):
        if not options.labelled:
            names: tuple[str, ...] = ()
            train, test = Found(_pictures(folder), []), Found([], [])
        else:
            names, train, test = _classes(folder)
    if not train.paths:
        raise DataError(f"{folder}: holds no pictures ({', '.join(SUFFIXES)})")
    paths = train.paths + test.paths
    bad: dict[Path, str] = {}
    if not options.sized or options.channels is None:
        options = _common_form(paths, options, bad)
    pixels = _read(folder, [p for p in paths if p not in bad], options, bad)
    keep = np.array([path not in bad for path in paths])
    targets = np.array(train.places + test.places, np.int64)[keep] if options.labelled else None
    _no_class_lost(folder, names, train, bad)
    return Images(
        str(folder),
        pixels,
        targets,
        test=int(keep[len(train.paths) :].sum()),
        names=names,
        files=tuple(_shown(path.relative_to(folder)) for path in paths if path not in bad),
        notes=_notes(folder, bad, len(paths)),
    )


def _classes(folder: Path) -> tuple[tuple[str, ...], Found, Found]:
    """The names of the classes, and the pictures to train and to test on."""
    inside = _folders(folder)
    names = [path.name for path in inside]
    if sorted(names) == sorted(PARTS):
        train, test = (_by_class(folder / part) for part in PARTS)
        unknown = sorted(set(test) - set(train))
        if unknown:
            raise DataError(f"{folder}: test has a class that train has not, {unknown[0]}: add pictures of it to train")
    else:
        train, test = _by_class(folder), {}
    return tuple(train), _found(train, tuple(train)), _found(test, tuple(train))


def _by_class(folder: Path) -> dict[str, list[Path]]:
    """Class -> its pictures."""
    inside = _folders(folder)
    if not inside:
        loose = sum(1 for path in folder.iterdir() if is_picture(path))
        what = f"{loose:,} pictures but no folder for each class" if loose else "neither pictures nor folders"
        raise DataError(f"{folder}: holds {what}: expected class/name.png, one folder for each class")
    classes = {_shown(path.relative_to(folder)): _pictures(path) for path in inside}
    empty = [name for name, pictures in classes.items() if not pictures]
    if len(empty) == len(classes):
        raise DataError(f"{folder}: its folders hold no pictures ({', '.join(SUFFIXES)}): expected class/name.png")
    if empty:
        raise DataError(f"{folder / empty[0]}: holds no pictures: add some of this class, or take the folder away")
    return classes


def _found(classes: dict[str, list[Path]], names: tuple[str, ...]) -> Found:
    pairs = [(path, names.index(name)) for name, pictures in classes.items() for path in pictures]
    return Found([path for path, _ in pairs], [place for _, place in pairs])


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _pictures(folder: Path) -> list[Path]:
    """The pictures in a folder and those inside it, sorted; pipes and other odd things are no files."""
    paths = []
    for place, inside, files in os.walk(folder):
        inside[:] = [name for name in inside if not name.startswith(".")]
        paths += [Path(place, name) for name in files if not name.startswith(".")]
    return sorted(path for path in paths if is_picture(path) and path.is_file())


def _common_form(paths: list[Path], options: Reading, bad: dict[Path, str]) -> Reading:
    """The options with the size of the first picture, where none was wanted, and the channels that hold all."""
    first: Form | None = None
    channels = 1
    for path in paths:
        try:
            form = look(path)
        except BadPictureError as error:
            _leave_out(path, error, options, bad)
            continue
        first = first or form
        channels = max(channels, form.channels)
    if first is None:
        raise DataError(f"{paths[0]}: none of the {len(paths):,} pictures can be read: check how they were made")
    if not options.sized:
        options = replace(options, height=first.height, width=first.width)
    return replace(options, channels=options.channels or channels)


def _read(folder: Path, paths: list[Path], options: Reading, bad: dict[Path, str]) -> Pixels:
    assert options.height is not None
    assert options.width is not None
    assert options.channels is not None
    form = Form(options.height, options.width, options.channels)
    size = len(paths) * form.height * form.width * form.channels
    if size > MOST_BYTES:
        raise DataError(
            f"{folder}: {len(paths):,} pictures of {form} take {size_text(size)}, at most {size_text(MOST_BYTES)} are "
            "read: use a smaller --image-size, or fewer pictures"
        )
    pixels: NDArray[np.uint8] = np.empty((len(paths), form.height, form.width, form.channels), np.uint8)
    done = 0
    for path in paths:
        try:
            pixels[done] = read_picture(path, form, resize=options.resize)
        except BadPictureError as error:
            _leave_out(path, error, options, bad)
            continue
        done += 1
    if not done:
        raise DataError(f"{folder}: none of the {len(paths):,} pictures can be read: check how they were made")
    return pixels[:done]


def _leave_out(path: Path, error: BadPictureError, options: Reading, bad: dict[Path, str]) -> None:
    """Note a bad picture, or refuse it."""
    if options.broken == "refuse":
        raise DataError(f"{error}; --broken skip leaves such files out") from None
    bad[path] = str(error)


def _no_class_lost(folder: Path, names: tuple[str, ...], train: Found, bad: dict[Path, str]) -> None:
    left = {place for path, place in zip(train.paths, train.places, strict=False) if path not in bad}
    lost = [name for place, name in enumerate(names) if place not in left]
    if lost:
        raise DataError(f"{folder / lost[0]}: none of its pictures can be read: mend them, or take the folder away")


def _notes(folder: Path, bad: dict[Path, str], total: int) -> tuple[str, ...]:
    if not bad:
        return ()
    more = [f"... and {len(bad) - NAMED:,} more"] if len(bad) > NAMED else []
    said = list(bad.values())[:NAMED]
    return (*said, *more, f"{folder}: {len(bad):,} of {total:,} pictures are left out")


def _shown(path: Path) -> str:
    """A path as text that can be printed and written: bytes that are no characters are spelt out."""
    return path.as_posix().encode("utf-8", "backslashreplace").decode()
