"""Damaged data files: `python -m benchmarks.damage_data --mutants 20000`.

A file of each format that is read (tables, images) is damaged, in its bytes or, where it is packed, inside; then it is
read and made ready for training, again and again. Each outcome is one of

    fine            the data is ready: every value is finite
    one line        an error of ours says in one line what is wrong with which file
    internal error  another exception, an error of several lines, or values that are not finite
    slow            it took more than a second of processor time
    memory          it took more than 64 MB (measured for one mutant in --sample)

The last three are faults, and each is printed with the number that makes it again: `--only NUMBER`.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import mutations
from benchmarks.report import machine
from benchmarks.rows import ROOT
from chainrule.data import prepare, prepare_images
from chainrule.data.images import Images, Reading
from chainrule.data.sources import load_data
from chainrule.errors import ChainruleError

MOST_SECONDS, MOST_MEMORY = 1.0, 64 << 20
ADDRESSES = 6 << 30  # of a process, rather than the whole machine
MOST_SAID = 20_000  # characters, which the command line cuts
FAULTS = ("internal error", "slow", "memory")
TEXTS = (  # put into tables
    *(b'"', b'""', b",", b";", b"\t", b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b" ", b"#"),
    *(b"NA", b"nan", b"inf", b"1e400", b"-", b"1_0", b"0x1", b"9" * 400, b"0" * 5000 + b"1", b"x" * 5000, b"1e-320"),
    *("−5".encode(), "１２".encode(), "é".encode(), b"1,5", b"12%", b"True", b"\n" * 50, b"," * 50, b"1.5", b"007"),
)
ORDERS: tuple[Any, ...] = ("little", "big")


class Result(NamedTuple):
    """What reading a damaged file came to."""

    outcome: str
    said: str
    seconds: float = 0.0
    memory: int = 0


def table_text() -> bytes:
    rng = np.random.default_rng(0)
    rows = [f'{rng.normal():.3f},{i % 7},{"" if i % 9 == 4 else i},"{"pq"[i % 2]}"' for i in range(30)]
    return "\n".join(["width,height,age,kind", *rows, ""]).encode()


def table_archive() -> bytes:
    rng = np.random.default_rng(0)
    return _archive(x=rng.normal(size=(20, 3)), n=np.arange(20), y=np.array(["p", "q"] * 10))


def image_archive() -> bytes:
    return _archive(x=_pictures(), y=np.arange(12) % 2)


def _archive(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _pictures() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (12, 5, 4), dtype=np.uint8)


def idx_images() -> bytes:
    return b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (12, 5, 4)) + _pictures().tobytes()


def parquet() -> bytes:
    import polars

    file = io.BytesIO()
    numbers = np.random.default_rng(0).normal(size=20)
    polars.DataFrame({"a": numbers, "n": [*range(20)], "y": ["p", "q"] * 10}).write_parquet(file)
    return file.getvalue()


def picture(form: str) -> Callable[[], bytes]:
    def made() -> bytes:
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)).save(file, form)
        return file.getvalue()

    return made


def of_bytes(draw: random.Random, content: bytes) -> bytes:
    """Damage that knows nothing of the format, or little: a number of four bytes that is the least or the most."""
    if not content or draw.random() < 0.8:
        return mutations.of_bytes(draw, content or b"\0").content
    at, number = draw.randrange(len(content)), draw.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1))
    return content[:at] + number.to_bytes(4, draw.choice(ORDERS)) + content[at + 4 :]


def of_text(draw: random.Random, content: bytes) -> bytes:
    """Damage to a table: text that matters to its readers, anywhere in it, or instead of some of it."""
    for _ in range(draw.choice((1, 1, 2, 4))):
        at = draw.randrange(len(content) + 1)
        content = content[:at] + draw.choice(TEXTS) + content[at + draw.choice((0, 0, 1, 3)) :]
    return content


def of_packed(draw: random.Random, content: bytes) -> bytes:
    """Damage inside a gzip file, which is packed again."""
    inside = gzip.decompress(content)
    damaged = of_bytes(draw, inside) if inside[:2] == b"\0\0" or draw.random() < 0.5 else of_text(draw, inside)
    return gzip.compress(damaged, 1)


def of_members(draw: random.Random, content: bytes) -> bytes:
    """Damage inside a member of an archive, which is packed again; mostly to its header."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    at = draw.randrange(len(members))
    name, inside = members[at]
    header = inside[:128]
    if draw.random() < 0.3:
        number = draw.choice(
            (b"(-1,", b"(10**9,", b"(1000000000000,", b"(((((", b"(0, ", b"(True,", b"(2.0,", b"(), (")
        )
        damaged = header.replace(b"(", number, 1)[:128] + inside[128:]
    elif draw.random() < 0.3:
        kind = draw.choice((b"'|O'", b"'<U9'", b"'<c8'", b"'<M8[s]'", b"'|V8'", b"'<f2'", b"'|b1'", b"'>i8'", b"'|S8'"))
        start = header.find(b"'", 20)
        damaged = header[:start] + kind + header[start + 5 :] + inside[128:]
    else:
        damaged = of_bytes(draw, header) + inside[128:] if draw.random() < 0.5 else of_bytes(draw, inside)
    members[at] = (name, damaged)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, inside in members:
            archive.writestr(name, inside)
    return file.getvalue()


class Kind(NamedTuple):
    """A format: its file's name, an undamaged one, and what damages it."""

    name: str
    make: Callable[[], bytes]
    damages: tuple[Callable[[random.Random, bytes], bytes], ...] = (of_bytes,)


KINDS = {
    "csv": Kind("t.csv", table_text, (of_bytes, of_text, of_text)),
    "csv.gz": Kind("t.csv.gz", lambda: gzip.compress(table_text()), (of_bytes, of_packed)),
    "npz table": Kind("t.npz", table_archive, (of_bytes, of_members)),
    "npz images": Kind("i.npz", image_archive, (of_bytes, of_members)),
    "idx": Kind("train-images-idx3-ubyte", idx_images),
    "idx.gz": Kind("train-images-idx3-ubyte.gz", lambda: gzip.compress(idx_images()), (of_bytes, of_packed)),
    "parquet": Kind("t.parquet", parquet),
    "png": Kind("folder/cat/9.png", picture("PNG")),
    "jpeg": Kind("folder/cat/9.png", picture("JPEG")),
    "tiff": Kind("folder/cat/9.png", picture("TIFF")),
    "gif": Kind("folder/cat/9.png", picture("GIF")),
}


def place(folder: Path, kind: Kind, content: bytes) -> Path:
    """Write a file of this kind, and what belongs to it; returns what to read."""
    path = folder / kind.name
    if kind.name.startswith("train"):
        (folder / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + (12).to_bytes(4, "big") + bytes([0, 1] * 6))
    if path.parent == folder:
        path.write_bytes(content)
        return path
    if not path.parent.parent.exists():
        for i in range(8):
            beside = folder / "folder" / ("cat", "dog")[i % 2]
            beside.mkdir(parents=True, exist_ok=True)
            (beside / f"{i}.png").write_bytes(picture("PNG")())
    path.write_bytes(content)
    return folder / "folder"


def load(path: Path) -> str:
    """Read data and make it ready; returns what it came to, or raises what reading raised."""
    data = load_data(str(path), Reading(height=6, width=6, resize=True) if path.is_dir() else Reading())
    if isinstance(data, Images):
        _, parts = prepare_images(data, validation=0.0)
    else:
        target = next((name for name in ("kind", "y") if name in data.columns), list(data.columns)[-1])
        _, parts = prepare(data, target, missing="mean", validation=0.0)
    if not np.isfinite(parts.x).all() or not np.isfinite(parts.y).all():
        raise ArithmeticError("values that are not finite")
    return f"{parts.data.rows} rows, {data.fingerprint()}"


def judge(path: Path, *, traced: bool = False) -> Result:
    """Read a file, and say how it went."""
    if traced:
        tracemalloc.start()
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            outcome, said = "fine", load(path)
    except ChainruleError as error:
        said = str(error)
        placed = str(path) in said or said.startswith("split: ")
        clear = "\n" not in said and placed and len(said) < MOST_SAID
        outcome = "one line" if clear else "internal error"
    except BaseException as error:  # noqa: BLE001 - none of them may come out
        outcome, said = "internal error", f"raised {type(error).__name__}: {error}"
    seconds = time.process_time() - start
    memory = tracemalloc.get_traced_memory()[1] if traced else 0
    tracemalloc.stop()
    if outcome in ("fine", "one line"):
        outcome = "memory" if memory > MOST_MEMORY else "slow" if seconds > MOST_SECONDS and not traced else outcome
    return Result(outcome, said[:500], seconds, memory)


def try_mutant(folder: Path, number: int, seed: int, sample: int, names: list[str]) -> dict[str, Any]:
    """Damage a file and read it."""
    draw = random.Random(f"{seed} {number}")
    name = draw.choice(names)
    kind = KINDS[name]
    damage = draw.choice(kind.damages)
    content = damage(draw, kind.make())
    path = place(folder, kind, content)
    try:
        result = judge(path, traced=number % sample == 0)
    finally:
        shutil.rmtree(folder / "folder", ignore_errors=True)
    return {"number": number, "kind": name, "damage": damage.__name__, "size": len(content), **result._asdict()}


def run_mutants(numbers: range, seed: int, sample: int, names: list[str]) -> Iterator[dict[str, Any]]:
    """Each mutant's outcome."""
    with tempfile.TemporaryDirectory() as folder:
        for number in numbers:
            yield try_mutant(Path(folder), number, seed, sample, names)


def main(arguments: list[str] | None = None) -> None:
    """Run the mutants in processes of some hundreds each; print and record how they ended."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.damage_data", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--each", type=int, default=500, help="mutants of a process (default 500)")
    parser.add_argument("--processes", type=int, default=2, help="at a time (default 2)")
    parser.add_argument("--sample", type=int, default=20, help="memory is measured for one mutant in so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=[*KINDS], help="formats (default all)")
    parser.add_argument("--only", type=int, help="the number of one mutant, printed in full")
    parser.add_argument("--out", type=Path, help="JSON to write")
    parser.add_argument("--first", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.first is not None or options.only is not None:
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
        first, count = (options.only, 1) if options.first is None else (options.first, options.each)
        for result in run_mutants(range(first, first + count), options.seed, options.sample, options.kinds):
            print(json.dumps(result), flush=True)
        return
    start = time.time()
    with ThreadPoolExecutor(options.processes) as pool:
        parts = pool.map(lambda first: _run_child(first, options), range(0, options.mutants, options.each))
        results = [result for part in parts for result in part]
    record = summarize(results) | {"seconds": round(time.time() - start), **machine(options.processes)}
    print(
        json.dumps({key: record[key] for key in ("mutants", "outcomes", "kinds", "slowest", "most_memory")}, indent=1)
    )
    if options.out:
        options.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    sys.exit(any(record["outcomes"].get(fault) for fault in FAULTS))


def _run_child(first: int, options: argparse.Namespace) -> list[dict[str, Any]]:
    """The outcomes of some mutants; a process that dies is an internal error, and the next one goes on after it."""
    results: list[dict[str, Any]] = []
    count = min(options.each, options.mutants - first)
    while len(results) < count:
        command = [sys.executable, "-m", "benchmarks.damage_data", "--first", str(first + len(results))]
        command += ["--each", str(count - len(results)), "--seed", str(options.seed), "--sample", str(options.sample)]
        command += ["--kinds", *options.kinds]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, env=dict(os.environ))
        results += [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode:
            died = {"number": first + len(results), "kind": "?", "outcome": "internal error"}
            results.append({**died, "said": f"the process ended with {done.returncode}: {done.stderr[-500:]}"})
    for result in results:
        if result["outcome"] in FAULTS:
            print(json.dumps(result), flush=True)
    return results


def summarize(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The number of each outcome, in all and for each format, and every fault."""
    kinds = sorted({result["kind"] for result in results})
    return {
        "mutants": len(results),
        "outcomes": Counter(result["outcome"] for result in results),
        "kinds": {kind: Counter(r["outcome"] for r in results if r["kind"] == kind) for kind in kinds},
        "slowest": max((r.get("seconds", 0.0) for r in results), default=0.0),
        "most_memory": max((r.get("memory", 0) for r in results), default=0),
        "faults": [result for result in results if result["outcome"] in FAULTS],
    }


if __name__ == "__main__":
    main()
