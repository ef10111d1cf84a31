"""Folders of pictures: class/name.png, or with a test part train/class/name.png and test/class/name.png."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
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
    paths = train.paths + test.paths
    pixels, bad = _read(str(folder), paths, options)
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
        notes=_notes(str(folder), bad, len(paths)),
    )


def read_pictures(paths: list[Path], options: Reading) -> Images:
    """Pictures in files, in the order given; of what they show nothing is known. Raises as `read_folder` does."""
    source = str(paths[0]) if len(paths) == 1 else f"{len(paths):,} files"
    pixels, bad = _read(source, paths, options)
    files = tuple(_shown(path) for path in paths if path not in bad)
    return Images(source, pixels, files=files, notes=_notes(source, bad, len(paths)))


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
        pictures = f"{loose:,} picture{'s' if loose != 1 else ''}"
        what = f"{pictures} but no folder for each class" if loose else "neither pictures nor folders"
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


def _read(source: str, paths: list[Path], options: Reading) -> tuple[Pixels, dict[Path, str]]:
    """The pixels of all pictures but the bad ones, and what is wrong with each of these."""
    if not paths:
        raise DataError(f"{source}: holds no pictures ({', '.join(SUFFIXES)})")
    bad: dict[Path, str] = {}
    form = _common_form(source, paths, options, bad)
    good = [path for path in paths if path not in bad]
    size = len(good) * form.height * form.width * form.channels
    if size > MOST_BYTES:
        raise DataError(
            f"{source}: {len(good):,} pictures of {form} take {size_text(size)}, at most {size_text(MOST_BYTES)} are "
            "read: use a smaller --image-size, or fewer pictures"
        )
    pixels: NDArray[np.uint8] = np.empty((len(good), form.height, form.width, form.channels), np.uint8)
    done = 0
    for path in _telling("reading pictures", good, options):
        try:
            pixels[done] = read_picture(path, form, resize=options.resize)
        except BadPictureError as error:
            _leave_out(path, error, options, bad)
            continue
        done += 1
    if not done:
        raise _unreadable(source, paths)
    return pixels[:done], bad


def _common_form(source: str, paths: list[Path], options: Reading, bad: dict[Path, str]) -> Form:
    """The form wanted; where it is not, the size of the first picture, and the channels that hold all."""
    height, width = options.height, options.width
    if height is not None and width is not None and options.channels is not None:
        return Form(height, width, options.channels)
    channels = 1
    for path in _telling("looking at pictures", paths, options):
        try:
            form = look(path)
        except BadPictureError as error:
            _leave_out(path, error, options, bad)
            continue
        height, width = height or form.height, width or form.width
        channels = max(channels, form.channels)
    if height is None or width is None:
        raise _unreadable(source, paths)
    return Form(height, width, options.channels or channels)


def _unreadable(source: str, paths: list[Path]) -> DataError:
    return DataError(f"{source}: none of the {len(paths):,} pictures can be read: check how they were made")


def _telling(what: str, paths: list[Path], options: Reading) -> Iterator[Path]:
    """The paths, telling how many are done."""
    for done, path in enumerate(paths):
        if options.told is not None:
            options.told(what, done, len(paths))
        yield path


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


def _notes(source: str, bad: dict[Path, str], total: int) -> tuple[str, ...]:
    if not bad:
        return ()
    more = [f"... and {len(bad) - NAMED:,} more"] if len(bad) > NAMED else []
    said = list(bad.values())[:NAMED]
    return (*said, *more, f"{source}: {len(bad):,} of {total:,} pictures {'is' if len(bad) == 1 else 'are'} left out")


def _shown(path: Path) -> str:
    """A path as text that can be printed and written: bytes that are no characters are spelt out."""
    return path.as_posix().encode("utf-8", "backslashreplace").decode()
