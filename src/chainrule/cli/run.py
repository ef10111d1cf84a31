"""A run's folder: `runs/<time>-<name>/` with what went in and what came out.

config.yaml          the resolved settings; `chainrule train --config` of it trains the same network again
data.json            which data: its hash, its columns, classes and scaling
metrics.jsonl        a line for each epoch, written as training goes
model.safetensors    the weights, those of an epoch some seconds ago while training goes on
results.json         how the run ended, and the test results
loss.png             the loss and the learning rate over the epochs
confusion.png        which classes are taken for which, on the test part
samples.png          test images, by file or place in the data from 0: the worst mistakes, and others } of images
filters.png          the weights of the first layer as pictures                                       }
"""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

from chainrule.cli.files import write_json, write_text
from chainrule.cli.settings import Settings, read_config
from chainrule.data.images.named import NAMED
from chainrule.data.names import suggestion
from chainrule.data.recipe import Recipe, read_recipe
from chainrule.data.sources import BUNDLED
from chainrule.errors import DataError, FileError
from chainrule.files import writing

LATEST = "latest"


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
        self.samples = folder / "samples.png"
        self.filters = folder / "filters.png"

    @classmethod
    def create(cls, settings: Settings, preparation: Recipe, fingerprint: str) -> Run:
        """A new folder with the run's config and data record; FileError, and no folder, when it cannot be written."""
        folder = _new_folder(Path(settings.out), settings.name or data_name(settings.data))
        run = cls(folder)
        try:
            write_text(run.config, _yaml(settings))
            write_json(run.data, {"fingerprint": fingerprint, "preparation": preparation.to_dict()})
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return run

    @classmethod
    def find(cls, name: str, out: str = "runs") -> Run:
        """The run in folder `name`, or the newest one in `out` for "latest"; FileError when there is none."""
        folder = Path(name)
        if name == LATEST and not folder.exists():
            return _latest(Path(out))
        if not folder.exists():
            inside = Path(out) / name
            if not inside.exists():
                known = sorted(p.name for p in _runs(Path(out)))
                hint = suggestion(name, known) if known else f"there are no runs in {out}/ yet: make one with `train`"
                raise FileError(f"{name}: there is no such run: {hint}")
            folder = inside
        run = cls(folder)
        for path in (run.config, run.data):
            if not path.exists():
                raise FileError(f"{folder}: not a run's folder, it has no {path.name}: name one that `train` has made")
        if not run.model.exists():
            raise FileError(
                f"{folder}: no model.safetensors in it, the weights: the run has begun just now, or was killed soon: "
                "wait, or train again"
            )
        return run

    def read_settings(self) -> Settings:
        return Settings(**read_config(self.config))

    def read_data(self) -> tuple[Recipe, str]:
        """How its tables or images are made ready, and the hash of the one it was trained on."""
        record = read_json(self.data)
        try:
            return read_recipe(record["preparation"]), record["fingerprint"]
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DataError(f"{self.data}: not the record of a run's data: train again") from None

    def read_results(self) -> dict[str, Any]:
        """How the run ended; empty when it has not, or was killed."""
        return read_json(self.results) if self.results.exists() else {}


def read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}): check its rights") from None
    except ValueError:
        raise DataError(f"{path}: damaged, it is not JSON any more: restore it or train again") from None
    if not isinstance(values, dict):
        raise DataError(f"{path}: holds {type(values).__name__}, expected named values: restore it or train again")
    return values


def data_name(source: str) -> str:
    """`"tables/iris.csv.gz"` -> `"iris"`."""
    if source in BUNDLED or source in NAMED:
        return source
    return Path(source).resolve().name.split(".")[0] or "data"


def _yaml(settings: Settings) -> str:
    import yaml

    return str(yaml.safe_dump(settings.to_dict(), sort_keys=False, allow_unicode=True))


def _new_folder(out: Path, name: str) -> Path:
    plain = re.sub(r"[^\w.-]+", "-", name)
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{plain}"
    with writing(out / stem):
        for number in range(1, 1000):  # several runs may start in one second
            folder = out / (stem if number == 1 else f"{stem}-{number}")
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                if not out.is_dir():
                    raise
                continue
            return folder
    raise FileError(f"{out / stem}: there are 999 runs of this name and second: choose another --name")


def _runs(out: Path) -> list[Path]:
    return [path.parent for path in out.glob("*/config.yaml")] if out.is_dir() else []


def _has_learnt(folder: Path) -> bool:
    """Whether a run has weights that are worth predicting with: it did not fail before its first epoch was over."""
    run = Run(folder)
    results = run.read_results()
    failed = str(results.get("ended", "")).startswith("failed")
    return run.model.exists() and not (failed and results.get("epochs") == 0)


def _latest(out: Path) -> Run:
    # Folder names begin with the time; runs of one second are told apart by their files.
    newest = sorted(_runs(out), key=lambda folder: (folder.name[:15], (folder / "config.yaml").stat().st_mtime_ns))
    for folder in reversed(newest):
        if _has_learnt(folder):
            return Run(folder)
    raise FileError(
        f"{LATEST}: there are no runs in {out}/ that have learnt: make one with `chainrule train`, or name its folder"
    )
