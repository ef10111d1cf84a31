"""Image data sets by name: where to look for them and how to get them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from chainrule.data.images.archive import read_archive
from chainrule.data.images.dataset import Images
from chainrule.data.images.idx_files import holds_idx_files, read_idx_folder
from chainrule.errors import FileError

FOLDER = "CHAINRULE_DATA"  # the environment variable that names a folder of data sets


@dataclass(frozen=True)
class Known:
    """A named data set."""

    get: str  # how to get it
    system: tuple[str, ...] = ()  # where a system package installs it
    archive: str = ""  # a NumPy archive in a folder of data sets
    test: int = 0  # this many images at the end of the archive are for testing
    names: tuple[str, ...] = ()


FASHION = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
IDX_FILES = "the folder of train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz and the same two of t10k"
NAMED = {
    "fashion-mnist": Known(
        get=f"`apt install dataset-fashion-mnist` (Debian, Ubuntu) installs it, or name with data_dir=... {IDX_FILES}",
        system=("/usr/share/datasets/fashion-mnist", "/usr/share/dataset-fashion-mnist"),
        names=FASHION,
    ),
    "mnist": Known(
        get=f"name with data_dir=... {IDX_FILES}, or set {FOLDER} to a folder with images/mnist_10k.npz",
        archive="images/mnist_10k.npz",
        test=2000,
    ),
}


def read_named(name: str, data_dir: str | None = None) -> Images:
    """The data set `name`, with its own test part: from `data_dir`, else $CHAINRULE_DATA, else the system's folders.

    "fashion-mnist": 60,000 and 10,000 images of 28 x 28. Source: H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST, 2017.
    "mnist": the same numbers of handwritten digits, or the archive's 10,000, with the last 2,000 for testing.
    Raises FileError that says where it looked and how to get the data set.
    """
    known, looked = NAMED[name], []
    for place in _places(name, data_dir):
        looked.append(str(place))
        if place.is_file():
            return replace(read_archive(place), source=name, test=known.test, names=known.names)
        if place.is_dir() and holds_idx_files(place):
            return replace(read_idx_folder(place), source=name, names=known.names)
    where = f" in {', '.join(looked)}" if looked else f", as neither data_dir=... nor {FOLDER} says where it is"
    raise FileError(f"{name}: not found{where}: {known.get}")


def _places(name: str, data_dir: str | None) -> list[Path]:
    """Where to look, in order; only in `data_dir` if it is given."""
    known, archives = NAMED[name], []
    folders = [Path(data_dir)] if data_dir else []
    shared = data_dir or os.environ.get(FOLDER)
    if shared:
        folders.append(Path(shared, name))
        archives = [Path(shared, known.archive), Path(shared, Path(known.archive).name)] if known.archive else []
    system = [] if data_dir else [Path(folder) for folder in known.system]
    return [*folders, *archives, *system]
