"""The command line, run in this process or as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.cli.outcome import Command, Outcome

from chainrule.cli.main import main


@pytest.fixture
def chainrule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in an empty folder: `chainrule("train", "digits")`."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        status = main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return Outcome(status, out, err)

    return run


@pytest.fixture
def process(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts a command as a process of its own."""

    def start(*arguments: object) -> subprocess.Popen[str]:
        code = "import sys; from chainrule.cli.main import main; sys.exit(main())"
        return subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """A small table of three classes that are easy to tell apart."""
    rng = np.random.default_rng(0)
    lines = ["width,height,kind"]
    for i in range(90):
        kind = i % 3
        width, height = rng.normal((kind, -kind), 0.2)
        lines.append(f"{width:.4f},{height:.4f},{('iris', 'rose', 'tulip')[kind]}")
    path = tmp_path / "flowers.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def stripes(kind: int, rng: np.random.Generator) -> np.ndarray:
    """A picture of 8 x 8 with stripes across or down."""
    wave = np.arange(8) % 4 < 2
    picture = np.where(wave[:, None] if kind else wave[None], 200, 40) + rng.integers(-20, 20, (8, 8))
    return picture.astype(np.uint8)


@pytest.fixture
def arrays() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    return np.stack([stripes(kind, rng) for kind in y]), y


@pytest.fixture
def photos(tmp_path: Path, arrays: tuple[np.ndarray, np.ndarray]) -> Path:
    Image = pytest.importorskip("PIL.Image")
    folder = tmp_path / "photos"
    for i, (picture, kind) in enumerate(zip(*arrays, strict=True)):
        path = folder / ("across" if kind else "down") / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    return folder
