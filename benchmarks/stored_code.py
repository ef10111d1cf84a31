"""Damaged object files in the store of compiled code: `python -m benchmarks.stored_code --damages 500`.

Each process compiles a small layer's kernels into a store of its own, then damages files at random and loads them
again, as a new process would. The result must be right each time, with at most one line on stderr for each damaged
file besides those about compiling. Then whole processes meet a disk that is full, a store that they may not write or
read, settings of Numba, and each other.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.children import environment
from benchmarks.hardened import Outcomes, keep, run_child
from benchmarks.workloads import ROOT

CHILD = """
import contextlib, io, os, random, shutil, sys, tempfile, time
from pathlib import Path
import numpy as np
from chainrule.engine.single import run_rule
from chainrule.native import load, objects, replay
from chainrule.ops.activations import relu
from chainrule.ops.linear import linear

seed, wanted = map(int, sys.argv[1:])
draw = random.Random(seed)
x, w = np.ones((2, 3), "f4"), np.ones((3, 4), "f4")
kept = []

def run():
    kept.append(objects._loaded)  # code in use
    load._addresses, objects._loaded = {}, {}
    replay.replay.cache_clear()
    (y,) = run_rule(linear, linear.forward, [x, w, None], {}, [(2, 4)])
    (z,) = run_rule(relu, relu.forward, [x - 2.0], {}, [(2, 3)])
    return float(y.sum()) == 24.0 and not z.any()

assert run()
folder = objects.folder()
whole = {file.name: file.read_bytes() for file in folder.glob("*.o")}
elsewhere = Path(tempfile.mkdtemp())
library = sys.executable
if os.path.exists("/proc/self/maps"):
    library = next(word for word in Path("/proc/self/maps").read_text().split() if ".so" in word)


def flipped(code):
    code = bytearray(code)
    for _ in range(draw.choice([1, 1, 2, 50])):
        code[draw.randrange(len(code))] ^= 1 << draw.randrange(8)
    return bytes(code)

CONTENTS = {
    "flipped": flipped,
    "cut": lambda code: code[: draw.randrange(len(code))],
    "empty": lambda code: b"",
    "extended": lambda code: code + draw.randbytes(draw.randint(1, 5000)),
    "zeros": lambda code: bytes(len(code)),
    "noise": lambda code: draw.randbytes(len(code)),
    "no digest": lambda code: code[objects.DIGEST:],
    "only digest": lambda code: code[: objects.DIGEST],
    "another digest": lambda code: draw.randbytes(objects.DIGEST) + code[objects.DIGEST:],
    "another kernel": lambda code: draw.choice(list(whole.values())),
    "half written": lambda code: code[: len(code) // 2] + bytes(len(code) - len(code) // 2),
    "a library": lambda code: Path(library).read_bytes()[:1_000_000],
}

def replaced(file, how):
    moved = elsewhere / file.name
    file.replace(moved)
    if how == "folder":
        file.mkdir()
    elif how == "full folder":
        file.mkdir()
        (file / "inside").touch()
    elif how == "pipe":
        os.mkfifo(file)
    elif how == "socket":
        import socket
        socket.socket(socket.AF_UNIX).bind(str(file))
    else:
        file.symlink_to({"link": moved, "link to zeros": "/dev/zero", "link to nothing": elsewhere / "none",
                         "link to itself": file}[how])

KINDS = [*CONTENTS, *CONTENTS, "folder", "full folder", "pipe", "socket", "link", "link to zeros", "link to nothing",
         "link to itself", "shared", "of a group", "swapped", "leftover", "gone"] + ["owned"] * (os.getuid() == 0)
cheap = [name for name in whole if name.startswith(("panel", "span"))]
longest, refused = 0.0, 0
for number in range(wanted):
    for name, code in whole.items():
        file = folder / name
        if not file.is_file() or file.is_symlink() or file.read_bytes() != code:
            shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink(missing_ok=True)
            file.write_bytes(code)
            file.chmod(0o600)
    kind = draw.choice(KINDS)
    name = draw.choice(cheap if draw.random() < 0.8 else list(whole))
    file, code = folder / name, whole[name]
    if kind in CONTENTS:
        file.write_bytes(CONTENTS[kind](code))
    elif kind == "shared":
        file.chmod(0o666)
    elif kind == "of a group":
        file.chmod(0o660)
    elif kind == "owned":
        os.chown(file, 12345, 12345)
    elif kind == "swapped":
        other = draw.choice(list(whole))
        file.write_bytes(whole[other])
        (folder / other).write_bytes(code)
    elif kind == "leftover":
        (folder / f".{name[:-2]}.17.4.o").write_bytes(flipped(code))
    elif kind == "gone":
        file.unlink()
    else:
        replaced(file, kind)
    words, started = io.StringIO(), time.perf_counter()
    with contextlib.redirect_stderr(words):
        right = run()
    longest = max(longest, time.perf_counter() - started)
    assert right, (seed, number, kind, name)
    lines = words.getvalue().splitlines()
    lines = [line for line in lines if "compiling for" not in line and "  compiled " not in line]
    refused += bool(lines)
    most = {"swapped": 2, "full folder": 2}.get(kind, 1)
    assert len(lines) <= most, (seed, number, kind, name, lines)
print("right", wanted, "damages,", refused, f"told in a line, longest {longest:.1f} s")
"""

PROGRAM = """
import numpy as np
from chainrule.engine.single import run_rule
from chainrule.ops.linear import linear
x, w = np.ones((2, 3), "f4"), np.ones((3, 4), "f4")
(y,) = run_rule(linear, linear.forward, [x, w, None], {}, [(2, 4)])
assert float(y.sum()) == 24.0
"""
FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"  # no file may be longer


def start(store: Path, program: str = PROGRAM, **extra: str) -> subprocess.Popen[str]:
    """A process that uses the store."""
    settings = environment({"CHAINRULE_CACHE": str(store), **extra})
    return subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, cwd=ROOT, env=settings)


def ended(*processes: subprocess.Popen[str]) -> str:
    """The outcome of processes that run at the same time."""
    started = time.perf_counter()
    words = [process.communicate()[1] for process in processes]
    if any(process.returncode for process in processes):
        return f"ended with {[process.returncode for process in processes]}: {words}"
    told = sum("compil" not in line for text in words for line in text.splitlines())
    return f"right {time.perf_counter() - started:.1f} s, {told} lines besides those about compiling"


def whole_processes(outcomes: Outcomes, place: Path) -> None:
    """What happens to a process, or to several."""
    outcomes.add("a full disk", ended(start(place / "full", FULL + PROGRAM)))
    outcomes.add("four at once", ended(*(start(place / "together") for _ in range(4))))
    outcomes.add("after them", ended(start(place / "together")))
    for setting, value in (("NUMBA_CACHE_DIR", str(place / "numba")), ("NUMBA_OPT", "0"), ("NUMBA_DEBUG_CACHE", "1")):
        outcomes.add(setting, ended(start(place / "together", **{setting: value})))
    outcomes.add("no such place", ended(start(Path("/proc/none"), TMPDIR=str(place))))
    if os.getuid():  # the superuser may write and read everything
        (folder,) = list((place / "together").iterdir())[:1]
        folder.chmod(0o500)
        outcomes.add("read only", ended(start(place / "together")))
        folder.chmod(0o000)
        outcomes.add("unreadable", ended(start(place / "together", TMPDIR=str(place))))
        folder.chmod(0o700)


def main(arguments: list[str] | None = None) -> None:
    """Run the processes, print each one's outcome and keep a record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stored_code", description=__doc__)
    parser.add_argument("--damages", type=int, default=500, help="in all processes together (default 500)")
    parser.add_argument("--each", type=int, default=50, help="of one process (default 50)")
    parser.add_argument("--first", type=int, default=0, help="number of the first process, to go on (default 0)")
    parser.add_argument("--out", type=Path, help="folder of the record, if not benchmarks/results")
    options = parser.parse_args(arguments)
    outcomes = Outcomes()
    with tempfile.TemporaryDirectory(prefix="chainrule-store-") as place:
        whole_processes(outcomes, Path(place))
        for seed in range(options.first, options.first + -(-options.damages // options.each)):
            store = {"CHAINRULE_CACHE": str(Path(place) / f"store{seed}")}
            outcomes.add(f"process {seed}", run_child(CHILD, seed, options.each, extra=store))
            keep("stored-code", outcomes, {"outcomes": outcomes.found}, options.out)
    outcomes.end()


if __name__ == "__main__":
    main()
