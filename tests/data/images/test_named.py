"""Data sets by name: where they are looked for, and what is said when they are not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.data.images.test_idx import IMAGES, LABELS, write_pair

from chainrule.data import prepare_images, read_images
from chainrule.data.images import named
from chainrule.errors import FileError


@pytest.fixture(autouse=True)
def _nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CHAINRULE_DATA", raising=False)
    monkeypatch.setitem(
        named.NAMED, "fashion-mnist", named.Known("apt install x", (str(tmp_path / "system"),), names=named.FASHION)
    )


def fill(folder: Path, images: int = 6) -> None:
    folder.mkdir(parents=True)
    for part in ("train-", "t10k-"):
        write_pair(folder, part, IMAGES[:images], LABELS[:images], ".gz")


def test_the_systems_folder(tmp_path: Path) -> None:
    fill(tmp_path / "system")
    images = read_images("fashion-mnist")
    assert (images.source, images.rows, images.test) == ("fashion-mnist", 12, 6)
    preparation, parts = prepare_images(images, validation=0.0)
    assert preparation.classes[9] == "Ankle boot"
    assert preparation.outputs == 10
    assert len(parts.split.test) == 6


def test_a_named_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "system", 6)
    fill(tmp_path / "shared" / "fashion-mnist", 4)
    fill(tmp_path / "own", 3)
    assert read_images("fashion-mnist").test == 6
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path / "shared"))
    assert read_images("fashion-mnist").test == 4
    assert read_images("fashion-mnist", data_dir=str(tmp_path / "own")).test == 3
    assert read_images("fashion-mnist", data_dir=str(tmp_path / "shared")).test == 4


def test_mnist_from_an_archive(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    x = np.arange(2010 * 4).reshape(2010, 2, 2).astype(np.uint8)
    np.savez(tmp_path / "images" / "mnist_10k.npz", x=x, y=np.arange(2010) % 10)
    images = read_images("mnist", data_dir=str(tmp_path))
    assert (images.rows, images.test) == (2010, 2000)


def test_nowhere(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"fashion-mnist: not found in .*system: apt install x"):
        read_images("fashion-mnist")
    told = "^mnist: not found, as neither data_dir=... nor CHAINRULE_DATA says where it is: name with data_dir=... the"
    with pytest.raises(FileError, match=told):
        read_images("mnist")
    with pytest.raises(FileError, match=str(tmp_path / "mnist_10k.npz")):
        read_images("mnist", data_dir=str(tmp_path))


def test_the_real_ones(data_folder: Path) -> None:
    images = read_images("mnist", data_dir=str(data_folder))
    assert images.pixels.shape == (10_000, 28, 28, 1)
    assert images.test == 2000
