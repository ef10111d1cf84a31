"""The store of compiled code: kept, found again, replaced when sources change, and refused where others may write."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests import patience

from chainrule.native import objects
from chainrule.native.objects import SOURCES

PROGRAM = """
import sys
import numpy as np
from chainrule.engine.single import run_rule
from chainrule.ops.linear import linear
x, w = np.ones((2, 3), "f4"), np.ones((3, 4), "f4")
(y,) = run_rule(linear, linear.forward, [x, w, None], {}, [(2, 4)])
print(float(y.sum()), "numba" in sys.modules)
"""


NOWHERE = Path("/proc/no-such-place")
GONE = os.strerror(errno.ENOENT)


def run(cache: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"CHAINRULE_CACHE": str(cache)} | variables
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, timeout=patience.SECONDS
    )


def test_compiled_once_then_loaded_without_numba(tmp_path: Path) -> None:
    first, second = run(tmp_path), run(tmp_path)
    assert first.stdout.split() == ["24.0", "True"], first.stderr
    heading, *pieces = first.stderr.splitlines()
    assert heading.startswith("chainrule: compiling for ")
    assert "once per machine" in heading
    assert all(re.fullmatch(r"chainrule:   compiled \w+ in \d+\.\d\d s", piece) for piece in pieces), pieces
    assert {"replay", "kernel_gemm_float32"} <= {piece.split()[2] for piece in pieces}
    assert second.stdout.split() == ["24.0", "False"], second.stderr
    assert second.stderr == ""
    files = sorted(file.name for folder in tmp_path.iterdir() for file in folder.iterdir())
    assert files == ["kernel_gemm_float32.o", "panel_float32.o", "replay.o"]  # and nothing left beside them


def damages(code: bytes) -> dict[str, bytes]:
    """What may become of a file: a byte changed in its digest or its code, cut short, other bytes."""
    flips = {f"byte {at}": code[:at] + bytes([code[at] ^ 1]) + code[at + 1 :] for at in (0, len(code) // 2)}
    return {**flips, "cut": code[:100], "empty": b"", "zeros": bytes(len(code)), "text": b"no code"}


def test_damaged_files_are_compiled_anew(tmp_path: Path) -> None:
    run(tmp_path)
    (file,) = tmp_path.glob("*/kernel_gemm_float32.o")
    whole = file.read_bytes()
    for name, content in damages(whole).items():
        file.write_bytes(content)
        found = run(tmp_path)
        assert found.stdout.split() == ["24.0", "True"], (name, found.stderr)
        assert f"{file}: is damaged: compiled anew" in found.stderr, name
        assert run(tmp_path).stderr == "", name  # mended


def test_a_file_of_another_kernel_is_not_taken(tmp_path: Path) -> None:
    run(tmp_path)
    (file,) = tmp_path.glob("*/kernel_gemm_float32.o")
    file.write_bytes((file.parent / "panel_float32.o").read_bytes())
    found = run(tmp_path)
    assert found.stdout.split() == ["24.0", "True"], found.stderr
    assert "is damaged: compiled anew" in found.stderr


@pytest.mark.parametrize("planted", ["pipe", "link", "shared", "folder"])
def test_only_regular_files_of_ones_own_are_loaded(tmp_path: Path, planted: str) -> None:
    run(tmp_path)
    (file,) = tmp_path.glob("*/kernel_gemm_float32.o")
    if planted == "shared":
        file.chmod(0o666)
    else:
        elsewhere = tmp_path / "elsewhere.o"
        file.rename(elsewhere)
        {"pipe": os.mkfifo, "link": lambda f: f.symlink_to(elsewhere), "folder": Path.mkdir}[planted](file)
    found = run(tmp_path)
    assert found.stdout.split() == ["24.0", "True"], found.stderr
    assert "compiled anew" in found.stderr
    assert run(tmp_path).stderr == ""


@pytest.mark.parametrize("setting", ["NUMBA_OPT", "NUMBA_LOOP_VECTORIZE"])
def test_settings_of_the_compiler_have_a_folder_of_their_own(tmp_path: Path, setting: str) -> None:
    slow = run(tmp_path, **{setting: "0"})
    assert slow.stdout.split() == ["24.0", "True"], slow.stderr
    quick = run(tmp_path)
    assert quick.stdout.split() == ["24.0", "True"], quick.stderr
    assert len(list(tmp_path.iterdir())) == 2


def test_leftovers_of_killed_compilations_go(tmp_path: Path) -> None:
    run(tmp_path)
    (folder,) = tmp_path.iterdir()
    old, new = folder / ".kernel_gemm_float32.17.4.o", folder / ".kernel_gemm_float32.18.4.o"
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    (folder / "kernel_gemm_float32.o").unlink()
    run(tmp_path)
    assert (old.exists(), new.exists()) == (False, True)


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


def test_an_unusable_folder_is_replaced_by_one_that_the_next_process_finds(tmp_path: Path) -> None:
    first, second = (run(NOWHERE, TMPDIR=str(tmp_path)) for _ in range(2))
    (base,) = tmp_path.iterdir()
    assert base.name == f"chainrule-{os.getuid()}"
    assert stat.S_IMODE(base.stat().st_mode) == 0o700
    assert first.stdout.split() == ["24.0", "True"], first.stderr
    assert second.stdout.split() == ["24.0", "False"], second.stderr  # nothing was compiled again
    assert second.stderr == f"chainrule: no kernel cache in {NOWHERE} ({GONE}); using {base}: set CHAINRULE_CACHE\n"


@pytest.mark.parametrize("planted", ["link", "open folder", "file"])
def test_a_folder_planted_among_temporary_files_is_refused(tmp_path: Path, planted: str) -> None:
    place, target = tmp_path / f"chainrule-{os.getuid()}", tmp_path / "target"
    target.mkdir(mode=0o700)
    if planted == "link":
        place.symlink_to(target)
    elif planted == "file":
        place.touch()
    else:
        place.mkdir()
        place.chmod(0o777)
    answer = run(NOWHERE, TMPDIR=str(tmp_path))
    assert answer.returncode == 1
    assert "NativeError" in answer.stderr
    assert "set CHAINRULE_CACHE" in answer.stderr.splitlines()[-1]
    assert not list(target.iterdir())


def test_the_folder_follows_the_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHAINRULE_CACHE", str(tmp_path))
    tmp_path.chmod(0o700)
    find = objects.folder.__wrapped__
    before = find()
    assert find() == before
    monkeypatch.setattr(objects.metadata, "version", lambda _: "another version")
    assert find() != before


@pytest.mark.parametrize("part", SOURCES)
def test_a_changed_source_makes_another_folder(part: str, tmp_path: Path) -> None:
    copy = tmp_path / "chainrule"
    shutil.copytree(Path(objects.__file__).parents[1], copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert objects.version(copy) == objects.version()
    source = max((copy / part).glob("*.py"))
    source.write_text(source.read_text().replace(" + ", " - ", 1) + "# changed")
    assert objects.version(copy) != objects.version()


OWN = """
import numpy as np
from chainrule.engine.single import run_rule
from chainrule.native.kernel import device
from chainrule.ops.record import op

FACTOR = 3.0

@device
def inner(x):
    return x * FACTOR + 1.0

@op(formula="y = f(x)", pointwise=True)
def own(x):
    return inner(x)

(y,) = run_rule(own, own.forward, [np.ones(3, "f4")], {}, [(3,)])
print(float(y[0]))
"""


def test_ops_from_outside_the_package_are_compiled_anew_when_they_change(tmp_path: Path) -> None:
    for old, new, expected in (("", "", 4.0), ("3.0", "5.0", 6.0), ("+ 1.0", "- 1.0", 2.0), ("", "", 4.0)):
        command = [sys.executable, "-c", OWN.replace(old, new)]
        environment = os.environ | {"CHAINRULE_CACHE": str(tmp_path)}
        found = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=patience.SECONDS)
        assert float(found.stdout) == expected, found.stderr
    assert found.stderr == ""  # the first is still there
