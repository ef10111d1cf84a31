"""The store of compiled code: kept, found again, replaced when sources change, and refused where others may write."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
import numpy as np
from chainrule.engine.single import run_rule
from chainrule.ops.matmul import linear
x, w = np.ones((2, 3), "f4"), np.ones((3, 4), "f4")
(y,) = run_rule(linear, linear.forward, [x, w, None], {}, [(2, 4)])
print(float(y.sum()), "numba" in sys.modules)
"""


def run(cache: Path, program: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CHAINRULE_CACHE": str(cache)}
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, timeout=120)


def test_compiled_once_then_loaded_without_numba(tmp_path: Path) -> None:
    first, second = run(tmp_path), run(tmp_path)
    assert first.stdout.split() == ["24.0", "True"], first.stderr
    assert "compiling" in first.stderr
    assert "once per machine" in first.stderr
    assert second.stdout.split() == ["24.0", "False"], second.stderr
    assert second.stderr == ""
    files = sorted(file.name for folder in tmp_path.iterdir() for file in folder.iterdir())
    assert files == ["kernel_gemm_float32.o", "panel_float32.o", "replay.o"]  # and nothing left beside them


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    run(tmp_path)
    (file,) = tmp_path.glob("*/kernel_gemm_float32.o")
    file.write_bytes(file.read_bytes()[:100])
    answer = run(tmp_path)
    assert answer.returncode == 1
    assert "NativeError" in answer.stderr
    assert "delete that folder" in answer.stderr


def test_a_folder_that_others_may_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    answer = run(tmp_path)
    assert answer.returncode == 1
    assert "others may write it" in answer.stderr


def test_a_generous_mask_still_makes_a_private_folder(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        answer = run(tmp_path / "cache")
    finally:
        os.umask(before)
    assert answer.stdout.split() == ["24.0", "True"], answer.stderr
    (folder,) = (tmp_path / "cache").iterdir()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder.parent, folder)] == [0o700, 0o700]


def test_an_unusable_folder_costs_the_cache_not_the_run() -> None:
    answer = run(Path("/proc/no-such-place"))
    assert answer.stdout.split() == ["24.0", "True"], answer.stderr
    assert "no kernel cache in" in answer.stderr


def test_the_folder_follows_the_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from chainrule.native import objects

    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    tmp_path.chmod(0o700)
    find = objects.folder.__wrapped__
    before = find()
    assert find() == before
    monkeypatch.setattr(objects.metadata, "version", lambda _: "another version")
    assert find() != before
