"""The settings of a training run in one table, from which the options, the config file and the checks are derived.

Later sources win: the defaults, then the config file, then options and `key=value` of the command line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from chainrule.data.names import nearest, suggestion
from chainrule.data.tables.gaps import POLICIES
from chainrule.data.target import TASKS
from chainrule.data.text.inputs import NextToken
from chainrule.data.text.vocabulary import KINDS
from chainrule.errors import OptionError
from chainrule.files import is_file_name
from chainrule.ops import activations
from chainrule.ops.record import Op
from chainrule.settings import choice, memory, number, quoted, shown, thread_count, whole

Check: TypeAlias = Callable[[str, Any], Any]

ACTIVATIONS = tuple(name for name, value in vars(activations).items() if isinstance(value, Op))
# Names on the command line, and those of the classes in chainrule.optim and chainrule.nn.
OPTIMIZERS = {"sgd": "SGD", "rmsprop": "RMSprop", "adagrad": "Adagrad", "adam": "Adam", "adamw": "AdamW"}
SCHEDULES = ("constant", "cosine", "one-cycle", "step", "exponential", "plateau")
LOSSES = {"cross-entropy": "CrossEntropyLoss", "mse": "MSELoss", "mae": "L1Loss", "huber": "HuberLoss"}
ENGINES = ("compiled", "reference")
# Networks for images only, and the function in chainrule.models that builds each, whose name is accepted too.
OF_IMAGES = {
    "cnn": "small_cnn",
    "lenet": "lenet5",
    "resnet20": "resnet20",
    "resnet32": "resnet32",
    "resnet56": "resnet56",
}
OF_TEXT = ("lstm", "gru", "rnn")  # recurrent networks
MLP, CNN, LSTM = "mlp:256", "cnn", "lstm:256"  # the defaults
TOKENS, LENGTH = "characters", 128
DEFAULT_LR = {"sgd": 0.05, "rmsprop": 1e-3, "adagrad": 1e-2, "adam": 1e-3, "adamw": 1e-3}
MOMENTUM = 0.9  # of sgd
LEAST = 8  # pixels per side of images for CNN: in smaller ones a convolution sees little but the border
BROKEN = ("refuse", "skip")
LARGEST = 4096  # pixels per side
MOST = 10**12  # of whole numbers: of epochs, rows or bytes


def _number(**bounds: float) -> Check:
    def check(name: str, value: Any) -> float:
        if isinstance(value, str):  # from the command line, or 1e-3 in YAML, which is text there
            try:
                value = float(value)
            except ValueError:
                raise OptionError(f"train: {name} is {quoted(value)}, expected a number") from None
        return number("train", name, value, **bounds)

    return check


def _count(least: int, most: int = MOST) -> Check:
    return lambda name, value: whole("train", name, value, least=least, most=most)


def _threads(name: str, value: Any) -> int:
    return thread_count("train", value)


def _memory(name: str, value: Any) -> int:
    return min(memory("train", name, value), MOST)  # more than any machine has


def _seed(name: str, value: Any) -> int:
    if whole("train", name, value, least=0) >= 2**64:
        raise OptionError(f"train: {name} is {shown(value)}, expected a whole number from 0 to 2**64 - 1")
    return int(value)


def _choice(names: Iterable[str]) -> Check:
    allowed = tuple(names)

    def check(name: str, value: Any) -> str:
        near = nearest(value, allowed) if isinstance(value, str) and value not in allowed else None
        if near is not None:
            raise OptionError(f'train: {name} is {quoted(value)}: did you mean "{near}"?')
        return choice("train", name, value, allowed)

    return check


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value == "":
        raise OptionError(f"train: {name} is {shown(value)}, expected text")
    return str(value)


def _file(name: str, value: Any) -> str:
    text = _text(name, value)
    if not is_file_name(text):
        raise OptionError(f"train: {name} is {shown(text)}, which no file can be called: correct it")
    return text


def _network(name: str, value: Any) -> str:
    model = _text(name, value)
    return next((known for known, function in OF_IMAGES.items() if function == model), model)


def in_python(model: str) -> str:
    """`"cnn"` -> `"cnn (models.small_cnn)"`, where Python has another name for a network."""
    function = OF_IMAGES.get(model, model)
    return model if function == model else f"{model} (models.{function})"


def _size(name: str, value: Any) -> str:
    sides = _text(name, value).lower().split("x")
    digits = all(side.isdecimal() and len(side) < 9 for side in sides)
    if len(sides) > 2 or not digits or not all(1 <= int(side) <= LARGEST for side in sides):
        raise OptionError(
            f"train: {name} is {shown(value)}, expected pixels such as 32 or 24x32, each 1 to {LARGEST:,}"
        )
    return "x".join(str(int(side)) for side in sides)


def _names(name: str, value: Any) -> tuple[str, ...]:
    """One name, or a list of them; commas are looked at where the names are known."""
    value = [value] if isinstance(value, str) else value
    if value is None or (isinstance(value, (list, tuple)) and None in value):
        raise OptionError(
            f'train: {name} holds no value where a name is expected: write "null" or "~" in quotes, as YAML takes '
            "these words for no value"
        )
    if not isinstance(value, (list, tuple)) or not all(isinstance(part, str) for part in value):
        raise OptionError(f"train: {name} is {shown(value)}, expected names, as in a,b")
    return tuple(part for part in value if part)


def _words(name: str, value: Any) -> tuple[str, ...]:
    parts = [part.strip() for text in _names(name, value) for part in text.split(",")]
    return tuple(part for part in parts if part)


def _truth(name: str, value: Any) -> bool:
    if value in (True, False):
        return bool(value)
    if value not in ("true", "false"):
        raise OptionError(f"train: {name} is {shown(value)}, expected true or false")
    return bool(value == "true")


LRS = ", ".join(f"{rate:g} for {name}" for name, rate in DEFAULT_LR.items())
METAVARS: dict[type, str] = {str: "NAME", int: "N", float: "X", bool: ""}  # in `--help`


def _setting(
    default: Any, check: Check, text: str, kind: type = str, panel: str = "Training", metavar: str | None = None
) -> Any:
    metadata = {"check": check, "help": text, "kind": kind, "panel": panel, "metavar": metavar or METAVARS[kind]}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """All settings of a training run, checked when made."""

    data: str = _setting(
        None,
        _file,
        "A data set by name (digits, mnist, tinyshakespeare ...), a file, or a folder of pictures",
    )
    target: str | None = _setting(None, _text, "The column to predict", panel="Data", metavar="COLUMN")
    task: str | None = _setting(
        None,
        _choice((*TASKS, NextToken.task)),
        "classify or regress; by default inferred from the target; a text is for generate",
        panel="Data",
    )
    drop: tuple[str, ...] = _setting(
        (), _names, "Column to leave out, or several, such as id,name; may be repeated", list, "Data", "COLUMN"
    )
    keep_index: bool = _setting(
        False, _truth, "Use columns of row numbers as features instead of leaving them out", bool, "Data"
    )
    na: tuple[str, ...] | None = _setting(
        None,
        _words,
        "Words for a missing value, such as NA,unknown, or '' for none if NA is a class; in columns of numbers the "
        "common words are always recognized",
        list,
        "Data",
        "WORDS",
    )
    missing: str = _setting(
        "refuse",
        _choice(POLICIES),
        "Missing values: refuse (an error), mean (fill in the training mean) or drop (leave the rows out)",
        panel="Data",
    )
    tokens: str | None = _setting(
        None,
        _choice(KINDS),
        f"What a text is cut into: {', '.join(KINDS)} [default: {TOKENS}]",
        panel="Data",
    )
    length: int | None = _setting(
        None, _count(1), f"Tokens of a text that the network sees at once [default: {LENGTH}]", int, "Data"
    )
    image_size: str | None = _setting(
        None,
        _size,
        "Resize pictures to this size, such as 32 or 24x32 (height x width); by default all must have the same size",
        panel="Data",
        metavar="SIZE",
    )
    broken: str = _setting("refuse", _choice(BROKEN), "Damaged pictures: refuse (an error) or skip", panel="Data")
    data_dir: str | None = _setting(
        None,
        _file,
        "Folder that holds the files of data sets by name, such as mnist; by default that in CHAINRULE_DATA",
        panel="Data",
        metavar="FOLDER",
    )
    val_size: float = _setting(
        0.1, _number(least=0, below=1), "Fraction of the rows used for validation after each epoch", float, "Data"
    )
    test_size: float = _setting(
        0.2,
        _number(least=0, below=1),
        "Fraction of the rows held out for the final test, of a text its end; a test part of the data's own is used "
        "instead",
        float,
        "Data",
    )
    model: str | None = _setting(
        None,
        _network,
        "linear, or mlp:SIZES with the sizes of the hidden layers, such as mlp:64,32; for images also "
        f"{', '.join(map(in_python, OF_IMAGES))} [default: {CNN} for images of at least {LEAST} x {LEAST} pixels, "
        f"otherwise {MLP}, also if --activation or --dropout is given]; for text "
        f"{', '.join(OF_TEXT)} with the units of each layer, such as {LSTM}",
        panel="Network",
    )
    activation: str = _setting(
        "relu", _choice(ACTIVATIONS), f"Activation function of an mlp: {', '.join(ACTIVATIONS)}", panel="Network"
    )
    dropout: float = _setting(
        0.0,
        _number(least=0, below=1),
        "Dropout probability after each hidden layer of an mlp, or of a network for text",
        float,
        "Network",
    )
    loss: str | None = _setting(
        None, _choice(LOSSES), "cross-entropy to classify; mse (the default), mae or huber to regress", panel="Network"
    )
    augment: str | None = _setting(
        None,
        _text,
        "Random changes to the training images, such as shift:2,flip,rotate:10,crop:0.8,cutout:8",
        metavar="NAMES",
    )
    optimizer: str = _setting("adam", _choice(OPTIMIZERS), ", ".join(OPTIMIZERS))
    lr: float | None = _setting(None, _number(above=0), f"Learning rate [default: {LRS}]", float)
    momentum: float | None = _setting(None, _number(least=0, below=1), f"Momentum of sgd [default: {MOMENTUM}]", float)
    weight_decay: float = _setting(
        0.0, _number(least=0), "Weight decay: an L2 penalty, decoupled from the gradient in adamw", float
    )
    schedule: str = _setting(
        "cosine",
        _text,
        "Learning-rate schedule: constant, cosine[:FLOOR], one-cycle[:WARMUP], step:EPOCHS[,FACTOR], "
        "exponential:FACTOR (per epoch), plateau[:PATIENCE[,FACTOR]]",
    )
    warmup_epochs: int = _setting(0, _count(0), "Epochs of linear learning-rate warm-up before the schedule", int)
    epochs: int = _setting(40, _count(1), "Passes over the training rows", int)
    batch_size: int = _setting(32, _count(1), "Batch size, in rows", int)
    patience: int | None = _setting(
        None,
        _count(1),
        "Stop after this many epochs without a lower validation loss, and restore the best weights",
        int,
    )
    clip_norm: float | None = _setting(None, _number(above=0), "Clip the global gradient norm to this", float)
    seed: int = _setting(
        0, _seed, "Random seed of the split, initial weights, shuffling, dropout and augmentation", int
    )
    threads: int | None = _setting(
        None, _threads, "Number of threads, by default one per processor; the result does not depend on it", int, "Run"
    )
    memory_limit: int | None = _setting(
        None,
        _memory,
        "Memory limit of a training step, not counting the data set, such as 200MB; values are recomputed to stay "
        "within it",
        panel="Run",
        metavar="SIZE",
    )
    engine: str = _setting(
        "compiled", _choice(ENGINES), "compiled, or reference (NumPy definitions: slow, easy to read)", panel="Run"
    )
    out: str = _setting("runs", _file, "Folder in which the run's own folder is created", panel="Run", metavar="FOLDER")
    name: str | None = _setting(None, _file, "Name of the run; by default that of the data", panel="Run")

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            if f.name == "data" and self.data is None:
                raise OptionError("train: no data given: name a data set or a file, as in `chainrule train digits`")
            object.__setattr__(self, f.name, check_setting(f.name, getattr(self, f.name)))
        if self.patience is not None and self.val_size == 0:
            raise OptionError("train: patience needs validation rows, but val_size is 0: set --val-size 0.1")

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


def check_setting(name: str, value: Any) -> Any:
    """A setting's value as a plain type; raises OptionError for one that it cannot have."""
    f = FIELDS[name]
    if value is not None or f.default == ():
        return f.metadata["check"](name, value)
    if f.default is not None:
        raise OptionError(f"train: {name} is empty, expected a value such as {f.default}")
    return None


def parse_override(text: str) -> tuple[str, Any]:
    """`key=value` -> its setting and value; null, none or nothing mean no value."""
    key, equals, value = text.partition("=")
    if not equals:
        raise OptionError(f"train: {quoted(text)} is neither an option nor a setting such as epochs=20")
    name = known_key(key.strip(), "train")
    kind = FIELDS[name].metadata["kind"]
    empty = kind is not list and value in ("", "null", "none")
    return name, None if empty else parse(kind, value)


def parse(kind: type, given: Any) -> Any:
    """A word of the command line or a file as the `kind` of its setting; others stay text, which a check refuses."""
    try:
        return kind(given) if kind in (int, float) and isinstance(given, str) else given
    except ValueError:
        return given


def known_key(key: str, place: str) -> str:
    name = key.replace("-", "_")
    if name not in FIELDS:
        raise OptionError(f"{place}: {quoted(key)} is not a setting: {suggestion(name, FIELDS, limit=len(FIELDS))}")
    return name
