"""Which files of a folder are pictures, by name or by how they begin."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from chainrule.data.images.picture import is_picture

# Formats that Pillow cannot read, or not everywhere; if it can, the file is read.
VECTORS = (".svg", ".svgz", ".eps", ".ai", ".pdf", ".wmf", ".emf")
RAW = (".raw", ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".orf", ".rw2", ".raf", ".pef", ".srw")
PHONES = (".heic", ".heics", ".heif", ".hif", ".avif", ".avifs", ".jxl", ".jxr", ".jp2", ".j2k", ".jpx")
SCIENCE = (".dcm", ".nii", ".fits", ".czi", ".nd2", ".lsm", ".exr", ".hdr", ".xcf", ".psd")
LIKE_PICTURES = (*VECTORS, *RAW, *PHONES, *SCIENCE)
LEFT_BY_SYSTEMS = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir")
NAMED = 3  # files named one by one


def files_in(folder: Path) -> Iterator[Path]:
    """The files in a folder and its subfolders, without hidden files, pipes and broken links."""
    for place, inside, names in os.walk(folder):
        inside[:] = [name for name in inside if not _is_hidden(name)]
        yield from _visible(Path(place, name) for name in names)


def files_beside(folder: Path) -> Iterator[Path]:
    """The files of a folder, without subfolders."""
    return _visible(folder.iterdir())


def folders_in(folder: Path) -> list[Path]:
    """The subfolders of a folder, sorted; links to folders count, unless they lead back up."""
    inside = [path for path in folder.iterdir() if path.is_dir() and not _is_hidden(path.name)]
    return sorted(
        path for path in inside if not (path.is_symlink() and folder.resolve().is_relative_to(path.resolve()))
    )


def pictures_in(folder: Path) -> list[Path]:
    """The pictures in a folder and its subfolders, sorted."""
    return sorted(filter(is_picture, files_in(folder)))


def has_pictures(folder: Path) -> bool:
    return any(map(is_picture, files_in(folder)))


def unopened(folder: Path, used: Iterable[Path]) -> tuple[str, ...]:
    """A message for each kind of entry that `files_in` leaves out and that is not hidden: links to folders, unless they
    lead to one of the files `used`, and what is no file.
    """
    above = {path.parent for path in used}
    above |= {parent for path in above for parent in path.parents}
    links, others = set[Path](), set[Path]()
    for place, inside, names in os.walk(folder):
        inside[:] = [name for name in inside if not _is_hidden(name)]
        links.update(path for name in inside if (path := Path(place, name)).is_symlink() and path not in above)
        others.update(path for name in names if not _is_hidden(name) and not (path := Path(place, name)).is_file())
    return (
        *_line(str(folder), links, "link{s} to folders", ""),
        *_line(str(folder), others, "broken link{s}, pipe{s} or the like", ""),
    )


def passed_over(source: str, paths: Iterable[Path]) -> tuple[str, ...]:
    """A message for each kind of file among `paths`, which are not read."""
    paths = set(paths)
    pictures = {path for path in paths if is_picture(path)}
    unreadable = {path for path in paths if path.suffix.lower() in LIKE_PICTURES} - pictures
    others = paths - pictures - unreadable
    return (
        *_line(source, pictures, "picture{s} outside the folders of the classes", ""),
        *_line(source, unreadable, "picture{s} in an unsupported format", ": convert them to PNG"),
        *_line(source, others, "non-picture file{s}", ""),
    )


def _line(source: str, paths: set[Path], what: str, fix: str) -> tuple[str, ...]:
    if not paths:
        return ()
    count = f"{len(paths):,} {what.format(s='s' if len(paths) > 1 else '')}"
    return (f"{source}: skipped {count} ({named(paths)}){fix}",)


def named(paths: Collection[Path]) -> str:
    """The names of the first files, and how many more there are."""
    names = ", ".join(shown(path.name) for path in sorted(paths)[:NAMED])
    return names + (f" and {len(paths) - NAMED:,} more" if len(paths) > NAMED else "")


def shown(path: str) -> str:
    """A path as printable text: bytes that are not characters are escaped."""
    return path.encode("utf-8", "backslashreplace").decode()


def _visible(paths: Iterable[Path]) -> Iterator[Path]:
    return (path for path in paths if not _is_hidden(path.name) and path.is_file())


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in LEFT_BY_SYSTEMS
