"""The command line, run in this process or as a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

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
    import numpy as np

    rng = np.random.default_rng(0)
    lines = ["width,height,kind"]
    for i in range(90):
        kind = i % 3
        width, height = rng.normal((kind, -kind), 0.2)
        lines.append(f"{width:.4f},{height:.4f},{('iris', 'rose', 'tulip')[kind]}")
    path = tmp_path / "flowers.csv"
    path.write_text("\n".join(lines) + "\n")
    return path
