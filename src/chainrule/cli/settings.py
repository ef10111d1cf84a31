"""What a training run is told: one table of settings; the options, the config file and the checks are derived from it.

Later sources win: the defaults, then the config file, then options and `key=value` of the command line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from chainrule.data.names import nearest, suggestion
from chainrule.data.tables.gaps import POLICIES
from chainrule.data.target import TASKS
from chainrule.errors import FileError, OptionError
from chainrule.settings import choice, memory, number, whole

Check: TypeAlias = Callable[[str, Any], Any]

ACTIVATIONS = ("relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "softplus")
OPTIMIZERS = ("sgd", "rmsprop", "adagrad", "adam", "adamw")
SCHEDULES = ("constant", "cosine", "one-cycle", "step", "exponential", "plateau")
LOSSES = ("cross-entropy", "mse", "mae", "huber")
ENGINES = ("compiled", "reference")
# Networks for images only, and the function in chainrule.models that each is; its name will do as well.
OF_IMAGES = {
    "cnn": "small_cnn",
    "lenet": "lenet5",
    "resnet20": "resnet20",
    "resnet32": "resnet32",
    "resnet56": "resnet56",
}
MLP, CNN = "mlp:256", "cnn"  # where no network is named
LEAST = 8  # pixels a side of images for CNN: below, a convolution sees little more of an image than its edge
BROKEN = ("refuse", "skip")
LARGEST = 4096  # pixels a side


def _number(**bounds: float) -> Check:
    def check(name: str, value: Any) -> float:
        if isinstance(value, str):  # of the command line, or 1e-3 in YAML, whose numbers need a point
            try:
                value = float(value)
            except ValueError:
                raise OptionError(f'train: {name} is "{value}", expected a number') from None
        return number("train", name, value, **bounds)

    return check


def _count(least: int) -> Check:
    return lambda name, value: whole("train", name, value, least=least)


def _memory(name: str, value: Any) -> int:
    return memory("train", name, value)


def _seed(name: str, value: Any) -> int:
    if whole("train", name, value, least=0) >= 2**64:
        raise OptionError(f"train: {name} is {value!r}, expected a whole number from 0 to 2**64 - 1")
    return int(value)


def _choice(allowed: tuple[str, ...]) -> Check:
    def check(name: str, value: Any) -> str:
        near = nearest(value, allowed) if isinstance(value, str) and value not in allowed else None
        if near is not None:
            raise OptionError(f'train: {name} is "{value}": did you mean "{near}"?')
        return choice("train", name, value, allowed)

    return check


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value == "":
        raise OptionError(f"train: {name} is {value!r}, expected text")
    return str(value)


def _network(name: str, value: Any) -> str:
    model = _text(name, value)
    return next((known for known, function in OF_IMAGES.items() if function == model), model)


def in_python(model: str) -> str:
    """`"cnn"` -> `"cnn (models.small_cnn)"`, where Python has another name for a network."""
    function = OF_IMAGES.get(model, model)
    return model if function == model else f"{model} (models.{function})"


def _size(name: str, value: Any) -> str:
    sides = _text(name, value).lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and 1 <= int(side) <= LARGEST for side in sides):
        raise OptionError(f"train: {name} is {value!r}, expected pixels as in 32 or 24x32, each 1 to {LARGEST:,}")
    return "x".join(str(int(side)) for side in sides)


def _names(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, (list, tuple)):
        raise OptionError(f"train: {name} is {value!r}, expected names, as in a,b")
    return tuple(str(part) for part in value)


METAVARS: dict[type, str] = {str: "NAME", int: "N", float: "X"}  # what `--help` says that an option takes


def _setting(
    default: Any, check: Check, text: str, kind: type = str, panel: str = "Training", metavar: str | None = None
) -> Any:
    metadata = {"check": check, "help": text, "kind": kind, "panel": panel, "metavar": metavar or METAVARS[kind]}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """All settings of a training run, checked when made."""

    data: str = _setting(None, _text, "A set by name (digits, fashion-mnist, mnist), a file, or a folder of pictures")
    target: str | None = _setting(None, _text, "The column to predict", panel="Data", metavar="COLUMN")
    task: str | None = _setting(None, _choice(TASKS), "classify or regress; guessed from the target", panel="Data")
    drop: tuple[str, ...] = _setting((), _names, "Columns to leave out, as in id,name", panel="Data", metavar="COLUMNS")
    missing: str = _setting(
        "refuse", _choice(POLICIES), "What to do with missing values: refuse, mean, drop", panel="Data"
    )
    image_size: str | None = _setting(
        None,
        _size,
        "Resize pictures, as in 32 or 24x32 (height x width); else all must be of one size",
        panel="Data",
        metavar="SIZE",
    )
    broken: str = _setting("refuse", _choice(BROKEN), "What to do with broken pictures: refuse, skip", panel="Data")
    data_dir: str | None = _setting(
        None, _text, "Folder of the files of fashion-mnist or mnist", panel="Data", metavar="FOLDER"
    )
    val_size: float = _setting(
        0.1, _number(least=0, below=1), "Part of the rows to validate on after each epoch", float, "Data"
    )
    test_size: float = _setting(
        0.2,
        _number(least=0, below=1),
        "Part of the rows to test on at the end; a test part of the data's own stands instead",
        float,
        "Data",
    )
    model: str | None = _setting(
        None,
        _network,
        "linear, or mlp: and the sizes of the hidden layers, as in mlp:64,32; for images also "
        f"{', '.join(map(in_python, OF_IMAGES))} [default: {CNN} for images of at least {LEAST} x {LEAST} pixels, "
        f"else {MLP}, and that too where activation or dropout is given]",
        panel="Network",
    )
    activation: str = _setting(
        "relu", _choice(ACTIVATIONS), f"Of an mlp only: {', '.join(ACTIVATIONS)}", panel="Network"
    )
    dropout: float = _setting(
        0.0,
        _number(least=0, below=1),
        "Part of the hidden values to drop while training; of an mlp only",
        float,
        "Network",
    )
    loss: str | None = _setting(
        None, _choice(LOSSES), "cross-entropy for classes; mse, mae or huber for quantities", panel="Network"
    )
    augment: str | None = _setting(
        None,
        _text,
        "What happens to images in training, as in shift:2,flip,rotate:10,crop:0.8,cutout:8",
        metavar="NAMES",
    )
    optimizer: str = _setting("adam", _choice(OPTIMIZERS), ", ".join(OPTIMIZERS))
    lr: float | None = _setting(None, _number(above=0), "Learning rate; each optimizer has its own default", float)
    momentum: float | None = _setting(None, _number(least=0, below=1), "For sgd [default: 0.9]", float)
    weight_decay: float = _setting(0.0, _number(least=0), "Pulls weights towards 0", float)
    schedule: str = _setting(
        "cosine",
        _text,
        "How the learning rate goes: constant, cosine[:FLOOR], one-cycle[:WARMUP], step:EPOCHS[,FACTOR], "
        "exponential:FACTOR (of each epoch), plateau[:PATIENCE[,FACTOR]]",
    )
    warmup_epochs: int = _setting(0, _count(0), "Epochs in which the rate rises in a line, ahead of the schedule", int)
    epochs: int = _setting(40, _count(1), "How often each training row is seen", int)
    batch_size: int = _setting(32, _count(1), "Rows a step", int)
    patience: int | None = _setting(
        None, _count(1), "Stop after so many epochs without a better validation loss, and keep the best weights", int
    )
    clip_norm: float | None = _setting(None, _number(above=0), "Longest gradient allowed", float)
    seed: int = _setting(0, _seed, "Of the split, the initial weights, the shuffling and dropout", int)
    threads: int | None = _setting(None, _count(1), "Threads; the result does not depend on them", int, "Run")
    memory_limit: int | None = _setting(
        None,
        _memory,
        "Most memory of a step, the data set not counted, as in 200MB; values are computed again where it would take "
        "more",
        panel="Run",
        metavar="SIZE",
    )
    engine: str = _setting("compiled", _choice(ENGINES), "compiled, or reference: slow and readable", panel="Run")
    out: str = _setting("runs", _text, "Folder in which the run's own folder is made", panel="Run", metavar="FOLDER")
    name: str | None = _setting(None, _text, "Name of the run; the data's name otherwise", panel="Run")

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if value is not None:
                object.__setattr__(self, f.name, f.metadata["check"](f.name, value))
            elif f.name == "data" or f.default is not None:
                if f.name == "data":
                    raise OptionError("train: no data is named: give a bundled set or a file, as in `train digits`")
                raise OptionError(f"train: {f.name} is empty, expected a value such as {f.default}")
        if self.patience is not None and self.val_size == 0:
            raise OptionError("train: patience needs rows to validate on, val_size is 0: set --val-size 0.1")

    @property
    def height_and_width(self) -> tuple[int, int] | None:
        """Of `image_size`."""
        if self.image_size is None:
            return None
        sides = [int(side) for side in self.image_size.split("x")]
        return sides[0], sides[-1]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for YAML; `Settings(**d)` makes the same again."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}


FIELDS = {f.name: f for f in dataclasses.fields(Settings)}


def resolve(config: Path | None, options: Mapping[str, str | None], overrides: list[str]) -> Settings:
    """Settings from a config file, options (None: not given) and `key=value` texts; OptionError for unknown keys."""
    values: dict[str, Any] = read_config(config) if config else {}
    values |= {k: parse(FIELDS[k].metadata["kind"], text) for k, text in options.items() if text is not None}
    values |= dict(parse_override(text) for text in overrides)
    return Settings(**values)


def read_config(path: Path) -> dict[str, Any]:
    """The settings in a YAML file; raises FileError or OptionError naming the file."""
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}): check the name and its rights") from None
    except UnicodeDecodeError:
        raise OptionError(f"{path}: not UTF-8 text: save the config file as UTF-8") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise OptionError(f"{path}: not readable as YAML{where}: write one `key: value` a line") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise OptionError(f"{path}: holds {type(content).__name__}, expected one `key: value` a line")
    return {known_key(str(key), str(path)): value for key, value in content.items()}


def parse_override(text: str) -> tuple[str, Any]:
    """`key=value` -> its setting and value; null, none or nothing stand for no value."""
    key, equals, value = text.partition("=")
    if not equals:
        raise OptionError(f'train: "{text}" is neither an option nor key=value, as in epochs=20')
    name = known_key(key.strip(), "train")
    return name, None if value in ("", "null", "none") else parse(FIELDS[name].metadata["kind"], value)


def parse(kind: type, text: str) -> Any:
    """A text of the command line as the `kind` its setting has; what is none stays text, which a check refuses."""
    try:
        return int(text) if kind is int else text
    except ValueError:
        return text


def known_key(key: str, place: str) -> str:
    name = key.replace("-", "_")
    if name not in FIELDS:
        raise OptionError(f'{place}: "{key}" is no setting: {suggestion(name, FIELDS, limit=len(FIELDS))}')
    return name
