"""Folders of pictures: class/name.png, or with parts train/class/name.png, val/class/name.png, test/class/name.png."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from chainrule.data.images.dataset import Images, Reading
from chainrule.data.images.kinds import files_in, named, passed_over, pictures_in, shown, unopened
from chainrule.data.images.layout import TEST, TRAIN, VALIDATION, find_layout
from chainrule.data.images.picture import BadPictureError, Form, Look, look, read_picture
from chainrule.data.images.pixels import DEPTHS, MOST_BYTES, WIDEN, Pixels
from chainrule.data.limits import room, size_text
from chainrule.data.reading import reading
from chainrule.errors import DataError

PARTS = (TRAIN, VALIDATION, TEST)
NAMED = 5  # broken files named one by one


def read_folder(folder: Path, options: Reading) -> Images:
    """The pictures of a folder, ordered by part, class and path, independent of the file system's order.

    Without `options.labelled` every picture anywhere in the folder is read, and classes are ignored. Raises FileError
    if a file cannot be read; DataError for a folder or a class without pictures, for a picture of another size or a
    broken one if the options do not allow it, and for more than MOST_BYTES of pixels.
    """
    with reading(folder):
        if not options.labelled:
            return _read_all(folder, options)
        layout = find_layout(folder)
        label_of = {path: place for part in PARTS for path, place in layout.of(part)}
        rest = passed_over(str(folder), (path for path in files_in(folder) if path not in label_of))
        rest += unopened(folder, label_of)
    pixels, bad, notes = _read(str(folder), list(label_of), options)
    good = [path for path in label_of if path not in bad]
    sizes = {part: sum(path not in bad for path, _ in layout.of(part)) for part in PARTS}
    _no_class_lost(folder, list(layout.train), {label_of[path] for path in good[: sizes[TRAIN]]})
    return Images(
        str(folder),
        pixels,
        np.array([label_of[path] for path in good], np.int64),
        validation=sizes[VALIDATION],
        test=sizes[TEST],
        names=tuple(layout.train),
        files=_names(folder, good),
        notes=(*layout.notes, *notes, *rest),
    )


def _read_all(folder: Path, options: Reading) -> Images:
    """Every picture in a folder, without labels."""
    paths = pictures_in(folder)
    rest = passed_over(str(folder), set(files_in(folder)).difference(paths)) + unopened(folder, paths)
    pixels, bad, notes = _read(str(folder), paths, options)
    files = _names(folder, [path for path in paths if path not in bad])
    return Images(str(folder), pixels, files=files, notes=(*notes, *rest))


def _names(folder: Path, paths: list[Path]) -> tuple[str, ...]:
    return tuple(shown(path.relative_to(folder).as_posix()) for path in paths)


def read_pictures(paths: list[Path], options: Reading) -> Images:
    """Pictures in files, in the given order, without labels. Raises the same errors as `read_folder`."""
    source = str(paths[0]) if len(paths) == 1 else f"{len(paths):,} files"
    pixels, bad, notes = _read(source, paths, options)
    files = tuple(shown(path.as_posix()) for path in paths if path not in bad)
    return Images(source, pixels, files=files, notes=notes)


def _read(source: str, paths: list[Path], options: Reading) -> tuple[Pixels, dict[Path, str], tuple[str, ...]]:
    """The pixels of all pictures except bad ones, what is wrong with those, and messages about the others."""
    if not paths:
        raise DataError(f"{source}: holds no readable pictures: convert them to PNG or JPEG")
    bad: dict[Path, str] = {}
    looks = _look(paths, options, bad)
    if not looks:
        raise _unreadable(source, paths)
    form = _common_form(looks, options)
    size = len(looks) * form.height * form.width * form.channels * np.dtype(form.dtype).itemsize
    most = min(MOST_BYTES, room())
    if size > most:
        raise DataError(
            f"{source}: {len(looks):,} pictures of {form} take {size_text(size)}, at most {size_text(most)} are "
            "read: use fewer pictures, or smaller ones such as height=32, width=32, resize=True"
        )
    pixels = np.empty((len(looks), form.height, form.width, form.channels), form.dtype)
    done = 0
    for path in _telling("reading pictures", list(looks), options):
        try:
            pixels[done] = read_picture(path, form, options)
        except BadPictureError as error:
            _leave_out(path, error, options, bad)
            continue
        done += 1
    if not done:
        raise _unreadable(source, paths)
    return pixels[:done], bad, (*_altered(source, looks, form), *_left_out(source, bad, len(paths)))


def _look(paths: list[Path], options: Reading, bad: dict[Path, str]) -> dict[Path, Look]:
    """What the headers of the readable pictures say."""
    looks = {}
    for path in _telling("looking at pictures", paths, options):
        try:
            looks[path] = look(path)
        except BadPictureError as error:
            _leave_out(path, error, options, bad)
    return looks


def _common_form(looks: dict[Path, Look], options: Reading) -> Form:
    """The requested form; by default the size of the first picture, with channels and a dtype that fit all pictures."""
    forms = [seen.form for seen in looks.values()]
    numbers = {path for path, seen in looks.items() if seen.form.dtype not in DEPTHS}
    if numbers and len(numbers) < len(looks):
        first, other = min(numbers), min(looks.keys() - numbers)
        raise DataError(
            f"{first} holds {looks[first].form.dtype}, {other} {looks[other].form.dtype}: their scales cannot be "
            "compared: save all in the same way"
        )
    return Form(
        options.height or forms[0].height,
        options.width or forms[0].width,
        options.channels or max(form.channels for form in forms),
        np.result_type(*{form.dtype for form in forms}).name,
    )


def _altered(source: str, looks: dict[Path, Look], form: Form) -> tuple[str, ...]:
    """Messages about pictures that are changed on reading."""
    sorts = (
        ([path for path, seen in looks.items() if seen.cut], "more than 8 bits for each colour", "8 of them are read"),
        ([path for path, seen in looks.items() if seen.frames], "several frames", "the first is read"),
        (
            [path for path, seen in looks.items() if form.dtype == "uint16" != seen.form.dtype],
            "8 bits and others 16",
            f"their values are multiplied by {WIDEN}",
        ),
    )
    return tuple(
        f"{source}: {len(paths):,} picture{'s have' if len(paths) > 1 else ' has'} {what} ({named(paths)}): {done}"
        for paths, what, done in sorts
        if paths
    )


def _unreadable(source: str, paths: list[Path]) -> DataError:
    return DataError(f"{source}: none of the {len(paths):,} pictures can be read: check how they were made")


def _telling(what: str, paths: list[Path], options: Reading) -> Iterator[Path]:
    """The paths, reporting how many are done."""
    for done, path in enumerate(paths):
        if options.told is not None:
            options.told(what, done, len(paths))
        yield path


def _leave_out(path: Path, error: BadPictureError, options: Reading, bad: dict[Path, str]) -> None:
    """Record a bad picture, or raise an error."""
    if options.broken == "refuse":
        raise DataError(f'{error}; broken="skip" leaves such files out') from None
    bad[path] = str(error)


def _no_class_lost(folder: Path, names: list[str], places: set[int]) -> None:
    lost = [name for place, name in enumerate(names) if place not in places]
    if lost:
        raise DataError(f"{folder / lost[0]}: none of its pictures can be read: repair them, or remove the folder")


def _left_out(source: str, bad: dict[Path, str], total: int) -> tuple[str, ...]:
    if not bad:
        return ()
    more = [f"... and {len(bad) - NAMED:,} more"] if len(bad) > NAMED else []
    said = list(bad.values())[:NAMED]
    return (*said, *more, f"{source}: {len(bad):,} of {total:,} pictures {'is' if len(bad) == 1 else 'are'} left out")
