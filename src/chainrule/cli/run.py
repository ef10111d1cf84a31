"""A run's folder, `runs/<time>-<name>/`.

config.yaml          the resolved settings; `chainrule train --config` with it trains the same network again
data.json            the data: its hash, columns, classes and scaling
metrics.jsonl        a line per epoch, written as training proceeds
model.safetensors    the weights; during training, those of a recent epoch
results.json         how the run ended, and the test results
loss.png             the loss and the learning rate over the epochs
confusion.png        for classes: the confusion matrix of the test part
predicted.png        for a quantity: predicted against true values of the test part
samples.png          for images: test images by file or index from 0, the worst mistakes first
filters.png          for images: the weights of the first layer as pictures
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chainrule.cli.settings import Settings
from chainrule.data.images.named import NAMED
from chainrule.data.names import bare_name, suggestion
from chainrule.data.preparation import Preparation
from chainrule.data.sources import BUNDLED
from chainrule.errors import FileError
from chainrule.files import write_whole, writing

if TYPE_CHECKING:
    from chainrule.cli.record import ResultsRecord

LATEST = "latest"
STAMP, STAMPED = "%Y%m%d-%H%M%S", re.compile(r"\d{8}-\d{6}")
LONGEST = 60  # characters of a run's name that comes from its data
TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}  # what renaming a folder to a name in use raises
UNSAVED = "its last weights could not be saved"
UNFINISHED = "the run is still training, or was killed"


class Run:
    """The files of one run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.yaml"
        self.data = folder / "data.json"
        self.metrics = folder / "metrics.jsonl"
        self.model = folder / "model.safetensors"
        self.results = folder / "results.json"
        self.plot = folder / "loss.png"
        self.confusion = folder / "confusion.png"
        self.predicted = folder / "predicted.png"
        self.samples = folder / "samples.png"
        self.filters = folder / "filters.png"

    @classmethod
    def create(cls, settings: Settings, preparation: Preparation, fingerprint: str) -> Run:
        """A new folder with the run's config and data record; FileError, and no folder, when it cannot be written."""
        out, name = Path(settings.out), settings.name or data_name(settings.data)[:LONGEST]
        plain = re.sub(r"[^\w.-]+", "-", name)
        folder = out / f"{time.strftime(STAMP)}-{plain}"
        # Written under another name, so that a run that is killed here is none.
        beside = cls(out / f".new-{os.getpid()}-{time.time_ns()}")
        with writing(folder):
            if out.is_symlink() and not out.exists():
                raise FileError(f"{out}: is a link to a folder that does not exist: make it, or choose another --out")
            try:
                beside.folder.mkdir(parents=True)
                write_text(beside.config, _yaml(settings))
                write_json(beside.data, {"fingerprint": fingerprint, "preparation": preparation.to_dict()})
                return cls(_named(beside.folder, folder))
            except FileError as error:
                raise FileError(str(error).replace(str(beside.folder), str(folder))) from None
            finally:
                shutil.rmtree(beside.folder, ignore_errors=True)

    @classmethod
    def find(cls, name: str, out: str = "runs") -> Run:
        """The run in folder `name`, or the newest one in `out` for "latest"; FileError if there is none."""
        folder = Path(name)
        if name == LATEST and not folder.exists():
            return _latest(Path(out))
        if not folder.exists():
            inside = Path(out) / name
            if not inside.exists():
                known = sorted((path.name for path in _runs(Path(out))), reverse=True)
                none = f"there are no runs in {out}/ yet: make one with `chainrule train`"
                raise FileError(
                    f"{name}: no such run: {suggestion(name, [LATEST, *known], limit=4) if known else none}"
                )
            folder = inside
        run = cls(folder)
        for path in (run.config, run.data):
            if not path.exists():
                raise FileError(f"{folder}: not a run folder: it has no {path.name}: name one of `chainrule train`")
        if not run.model.exists():
            raise FileError(
                f"{folder}: has no weights (model.safetensors): the run has only just started, or was killed early: "
                "wait, or train again"
            )
        return run

    def read_results(self) -> ResultsRecord | None:
        """How the run ended; None while it is training, and if it was killed."""
        from chainrule.cli.record import ResultsRecord
        from chainrule.records import read_record

        return read_record(self.results, ResultsRecord) if self.results.exists() else None

    def write_results(self, results: dict[str, Any]) -> None:
        write_json(self.results, results)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all; raises FileError."""
    write_whole(path, lambda beside: beside.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, whole or not at all; raises FileError."""
    from chainrule.records import to_json

    write_text(path, to_json(path, value))


def data_name(source: str) -> str:
    """`"tables/iris.csv.gz"` -> `"iris"`."""
    if source in BUNDLED or source in NAMED:
        return source
    return bare_name(Path(source).resolve()) or "data"


def _yaml(settings: Settings) -> str:
    import yaml

    return str(yaml.safe_dump(settings.to_dict(), sort_keys=False, allow_unicode=True))


def _named(beside: Path, folder: Path) -> Path:
    """The folder `beside` under its own name, or under one with a number: several runs may start within a second."""
    for number in range(1, 1000):
        named = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            return beside.rename(named)
        except OSError as error:
            if error.errno not in TAKEN:
                raise
    raise FileError(f"{folder}: 999 runs already have this name and time: choose another --name")


def _runs(out: Path) -> list[Path]:
    return [path.parent for path in out.glob("*/config.yaml") if path.is_file()] if out.is_dir() else []


def _began(folder: Path) -> tuple[str, int]:
    """When a run began: the time in its folder's name, or that of its config if it was renamed; runs of the same second
    are ordered by their configs."""
    written = (folder / "config.yaml").stat().st_mtime_ns
    stamp = folder.name[:15]
    return stamp if STAMPED.fullmatch(stamp) else time.strftime(STAMP, time.localtime(written // 10**9)), written


def _flaw(folder: Path) -> str:
    """Why a run has no weights worth using; empty if it has some."""
    run = Run(folder)
    results = run.read_results()
    if results is not None and results.failed and results.epochs == 0:
        return "it failed in its first epoch"
    return "" if run.model.exists() else "it has no weights: it has only just started, or was killed early"


def _latest(out: Path) -> Run:
    """The newest run that has weights; a note on stderr about a newer one without."""
    from chainrule.cli.report import error_console

    flaw = ""
    for folder in sorted(_runs(out), key=_began, reverse=True):
        why = _flaw(folder)
        if not why:
            if flaw:
                error_console().print(f"{flaw}: {folder} is used instead")
            return Run(folder)
        flaw = flaw or f"{folder}: {why}"
    raise FileError(
        f"{LATEST}: no run in {out}/ has completed an epoch: make one with `chainrule train`, or name a run's folder"
    )


class Log:
    """A file of one JSON object a line, each written at once and whole; NaN and infinities become null."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with writing(path):
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        self._size = 0

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a line; on a full disk a partial line is removed again and FileError raised."""
        plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
        line = (json.dumps(plain) + "\n").encode()
        with writing(self.path):
            try:
                if os.write(self._file, line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                os.ftruncate(self._file, self._size)
                raise
        self._size += len(line)

    def close(self) -> None:
        os.close(self._file)
