"""The layout of a folder of pictures: a folder for each class, with parts above or below these folders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chainrule.data.images.kinds import (
    files_beside,
    files_in,
    folders_in,
    has_pictures,
    passed_over,
    pictures_in,
    shown,
)
from chainrule.data.images.picture import is_picture
from chainrule.data.names import listed, suggestion
from chainrule.errors import DataError

TRAIN, VALIDATION, TEST, EVALUATION = "train", "validation", "test", "evaluation"
WORDS = {  # names of parts; EVALUATION is the test part if there is no other, otherwise the validation part
    TRAIN: ("train", "training", "trn"),
    VALIDATION: ("val", "valid", "validate", "validation", "dev", "development"),
    TEST: ("test", "testing", "tst"),
    EVALUATION: ("eval", "evaluation"),
}
FILLERS = ("set", "data", "dataset", "images", "imgs", "pictures", "part", "split", "seg")
Classes = dict[str, list[Path]]  # class -> its pictures


@dataclass
class Layout:
    """The pictures of each part by class, and messages about them."""

    parts: dict[str, Classes]
    notes: tuple[str, ...] = ()

    @property
    def train(self) -> Classes:
        return self.parts[TRAIN]

    def of(self, part: str) -> list[tuple[Path, int]]:
        """The pictures of a part, each with the number of its class."""
        numbers = {name: number for number, name in enumerate(self.train)}
        classes = self.parts.get(part, {})
        return [(path, numbers[name]) for name, pictures in classes.items() for path in pictures]


def find_layout(folder: Path) -> Layout:
    """Find the classes and parts of a folder.

    Folders named like parts (train, val, test and similar, in any case) are parts if all folders next to them are, or
    if train and another one contain folders; otherwise they are classes, and a message says so. Raises DataError for a
    folder without pictures, for a class without one, and if parts and classes do not fit together.
    """
    inside = folders_in(folder)
    parts = [path for path in inside if _role(path.name)]
    others = [path for path in inside if not _role(path.name) and has_pictures(path)]
    around = [path for path in parts if folders_in(path)]
    several = _has_train(around) and len({_role(path.name) for path in around}) > 1
    if several or (not others and (around or _has_train(parts))):
        return _parts_around(folder, parts)
    for path in around:
        if not _has_loose(path) and (any(map(_has_loose, others)) or _share_a_name(folders_in(path), others)):
            raise DataError(
                f"{path}: contains folders like a part, but is next to {others[0].name}: put all classes into "
                f"parts, as in train/{others[0].name}, or give it another name"
            )
    divided = [path for path in inside if _is_divided(path)]
    undivided = set(inside).difference(divided)
    whole = [path.name for path in inside if path in undivided and has_pictures(path)]
    if len(divided) == 1 and not whole:
        return find_layout(divided[0])
    if divided:
        return _parts_inside(folder, divided, whole)
    why = f"it is next to {others[0].name}" if others else "there is no folder train"
    notes = tuple(f"{folder}: {path.name} is read as a class, because {why}" for path in parts)
    return Layout({TRAIN: _by_class(folder)}, notes)


def _role(name: str) -> str:
    """The part that a folder's name means, "" if none."""
    words = [word for word in re.findall("[a-z]+", name.casefold()) if word not in FILLERS]
    return next((role for role, known in WORDS.items() if len(words) == 1 and words[0] in known), "")


def _has_train(parts: Sequence[Path]) -> bool:
    return any(_role(path.name) == TRAIN for path in parts)


def _is_divided(path: Path) -> bool:
    """Whether the folder of a class contains parts, and no other pictures."""
    inside = [part for part in folders_in(path) if has_pictures(part)]
    return _has_train(inside) and all(_role(part.name) for part in inside) and not _has_loose(path)


def _has_loose(path: Path) -> bool:
    """Whether a folder holds pictures outside the folders inside it."""
    return any(map(is_picture, files_beside(path)))


def _share_a_name(first: Sequence[Path], second: Sequence[Path]) -> bool:
    return bool({path.name for path in first} & {path.name for path in second})


def _roles(folder: Path, parts: Sequence[Path]) -> dict[str, Path]:
    """Which folder is which part; raises DataError if two are the same part, or none is for training."""
    roles: dict[str, Path] = {}
    for path in sorted(parts, key=lambda path: _role(path.name) == EVALUATION):
        role = _role(path.name)
        if role == EVALUATION:
            role = VALIDATION if TEST in roles else TEST
        if role in roles:
            raise DataError(f"{folder}: {roles[role].name} and {path.name} are both the {role} part: join them")
        roles[role] = _innermost(path)
    if TRAIN not in roles:
        names = " and ".join(path.name for path in parts)
        raise DataError(f"{folder}: holds {names} but no folder train: add it, or name one of them")
    return roles


def _innermost(path: Path) -> Path:
    """The folder itself, or the only one inside it where that has the same name, as archives are often unpacked."""
    inside = folders_in(path)
    return _innermost(inside[0]) if len(inside) == 1 and inside[0].name == path.name else path


def _parts_around(folder: Path, parts: Sequence[Path]) -> Layout:
    """train/class/name.png, val/class/name.png, test/class/name.png."""
    roles, notes = _roles(folder, parts), []
    layout = Layout({TRAIN: _by_class(roles[TRAIN])})
    for role in (VALIDATION, TEST):
        if role not in roles:
            continue
        if not folders_in(roles[role]):
            notes.append(f"{roles[role]}: has no folder for each class, so it is not used")
            continue
        layout.parts[role] = {name: pictures for name, pictures in _every_class(roles[role]).items() if pictures}
        notes += _compared(roles[TRAIN], roles[role], layout.train, layout.parts[role])
    layout.notes = (_told(folder, roles), *notes)
    return layout


def _compared(train: Path, part: Path, known: Classes, classes: Classes) -> list[str]:
    """A message if a part lacks classes; raises DataError if it has other classes."""
    unknown = next((name for name in classes if name not in known), None)
    if unknown is not None:
        raise DataError(
            f"{part}: has a class that {train.name} has not, {unknown}: add pictures of it to {train.name}, "
            f"or correct its name ({suggestion(unknown, known)})"
        )
    missing = [name for name in known if name not in classes]
    return [f"{part}: holds no pictures of {listed(missing)}"] if missing and classes else []


def _parts_inside(folder: Path, divided: Sequence[Path], whole: Sequence[str]) -> Layout:
    """class/train/name.png, class/val/name.png, class/test/name.png; `whole` are classes that are not divided."""
    if whole:
        raise DataError(
            f"{folder}: {divided[0].name} is divided into parts and {whole[0]} is not: give each class the same parts"
        )
    layout, names = Layout({}), dict[str, Path]()
    for path in divided:
        for role, part in _roles(path, [part for part in folders_in(path) if _role(part.name)]).items():
            names.setdefault(role, part)
            layout.parts.setdefault(role, {})[shown(path.name)] = pictures_in(part)
    notes = []
    for role in [role for role in (VALIDATION, TEST) if role in names]:
        notes += _compared(names[TRAIN], Path(folder, names[role].name), layout.train, layout.parts[role])
    layout.notes = (_told(folder, names), *notes)
    return layout


def _told(folder: Path, roles: dict[str, Path]) -> str:
    """The message about parts."""
    names = [roles[role].name for role in (TRAIN, VALIDATION, TEST) if role in roles]
    together = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"{folder}: {together} {'are parts, not classes' if len(names) > 1 else 'is a part, not a class'}"


def _by_class(folder: Path) -> Classes:
    """The pictures of each class; raises DataError for a class without any."""
    if not folders_in(folder):
        loose = sum(map(is_picture, files_beside(folder)))
        pictures = f"{loose:,} picture{'s' if loose != 1 else ''}"
        what = f"{pictures} but no folder for each class" if loose else "neither pictures nor folders"
        raise DataError(f"{folder}: holds {what}: expected class/name.png, one folder for each class")
    classes = _every_class(folder)
    empty = [name for name, pictures in classes.items() if not pictures]
    if len(empty) == len(classes):
        told = "".join(f"; {line}" for line in passed_over(str(folder), files_in(folder)))
        raise DataError(f"{folder}: its folders hold no readable pictures: expected class/name.png{told}")
    if empty:
        path = folder / empty[0]
        told = "".join(f"; {line}" for line in passed_over(str(path), files_in(path)))
        raise DataError(f"{path}: holds no pictures: add some of this class, or remove the folder{told}")
    return classes


def _every_class(folder: Path) -> Classes:
    return {shown(path.name): pictures_in(path) for path in folders_in(folder)}
