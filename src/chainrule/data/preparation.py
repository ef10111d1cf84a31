"""Data to arrays for training, and the record that later data is prepared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.data.dataset import Dataset
from chainrule.data.images.dataset import Images
from chainrule.data.images.inputs import ImageInputs, image_inputs
from chainrule.data.names import suggestion
from chainrule.data.scaling import Scaling
from chainrule.data.split import Rows, Split, split_rows
from chainrule.data.tables.cells import is_missing
from chainrule.data.tables.features import choose_features, tell_joined_labels, tell_lost_digits
from chainrule.data.tables.gaps import POLICIES
from chainrule.data.tables.inputs import TableInputs, handle_gaps, table_inputs
from chainrule.data.tables.table import Table
from chainrule.data.target import Class, Classes, Quantity, check_task, guess_task
from chainrule.data.text.inputs import NextToken, TextInputs
from chainrule.data.text.text import Text
from chainrule.data.text.vocabulary import make_vocabulary
from chainrule.data.text.windows import Windows
from chainrule.errors import DataError, OptionError

Array = NDArray[Any]
Inputs: TypeAlias = TableInputs | ImageInputs | TextInputs
Target: TypeAlias = Classes | Quantity | NextToken
MAKE_TABLE = "read one with read_table, or make one of columns with Table(name, columns)"


@dataclass(frozen=True)
class Preparation:
    """Turns data into arrays: `inputs` makes x, `target` makes y."""

    inputs: Inputs
    target: Target

    @property
    def kind(self) -> str:
        """Of data: "table", "images" or "text"."""
        return self.inputs.kind

    @property
    def task(self) -> str:
        """ "classify", "regress", or for text "generate"."""
        return self.target.task

    @property
    def classes(self) -> tuple[Class, ...]:
        """The classes that the outputs stand for; empty for a quantity."""
        return self.target.names if isinstance(self.target, Classes) else ()

    @property
    def quantity(self) -> Scaling | None:
        """How the output is scaled; None for classes."""
        return self.target.scaling if isinstance(self.target, Quantity) else None

    @property
    def outputs(self) -> int:
        """The number of outputs of a network for this task."""
        return self.target.outputs

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one row of x."""
        return self.inputs.shape

    @property
    def input_dtype(self) -> np.dtype[Any]:
        """What x is made of: whole numbers for tokens."""
        return np.dtype(np.int64 if isinstance(self.inputs, TextInputs) else np.float32)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The shape of the outputs for one row of x."""
        return (*self.input_shape, self.outputs) if isinstance(self.inputs, TextInputs) else (self.outputs,)

    def black(self) -> tuple[float, ...]:
        """The scaled value of a black pixel, for each channel."""
        if not isinstance(self.inputs, ImageInputs):
            raise OptionError(f"black: there are no pixels in a {self.kind}: leave augmentation to images")
        return self.inputs.black()

    def x(self, data: Any) -> Array:
        """The inputs of `data`: (n, *input_shape) float32, or for text int64."""
        return self.inputs.x(data)

    def y(self, data: Any) -> Array:
        """The targets of `data`: class indices (n,) int64, scaled quantities (n, 1) float32, or tokens (n, t) int64."""
        return self.target.y(data)

    def whole_rows(self, data: Any, with_target: bool) -> Any:
        """The rows of `data` this preparation can use: missing values are rejected or dropped, as in training."""
        target: Any = self.target if with_target else None
        return self.inputs.whole_rows(data, target)

    def split(self, data: Dataset, y: Array, *, validation: float, test: float, seed: int) -> Split:
        """The parts of data with targets y (n, ...), by class if there are classes."""
        classes = y if self.classes else None
        return split_data(data, classes, validation=validation, test=test, seed=seed)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON, from which `read_preparation` makes the same again."""
        return {"inputs": self.inputs.to_dict(), "target": self.target.to_dict()}


@dataclass(frozen=True)
class Parts:
    """Prepared data: its complete rows, their split and targets, and on request their inputs."""

    data: Any  # a Table, Images or Windows
    preparation: Preparation
    split: Split
    y: Array

    def __repr__(self) -> str:
        parts = ((name, len(rows)) for name, rows in vars(self.split).items())
        return f"<Parts of {self.data!r}: {', '.join(f'{name} {count:,}' for name, count in parts)}>"

    @property
    def notes(self) -> tuple[str, ...]:
        notes: tuple[str, ...] = self.data.notes
        return notes

    @property
    def x(self) -> Array:
        """The inputs of all rows, computed on each access."""
        return self.preparation.x(self.data)

    def arrays(self, rows: Rows) -> tuple[Array, Array]:
        """x and y of some rows."""
        return self.preparation.x(self.data.take(rows)), self.y[rows]


def prepare(
    table: Table,
    target: str,
    *,
    task: str | None = None,
    drop: Sequence[str] = (),
    keep_index: bool = False,
    missing: str = "refuse",
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
) -> tuple[Preparation, Parts]:
    """Choose columns of a table, split its rows, scale by the training rows.

    `task` None is guessed from the target. Columns that number the rows are dropped unless `keep_index`. `missing` is
    "refuse" (an error), "mean" (of the training rows) or "drop" (drop such rows). Raises DataError, LabelError or
    OptionError. Example: `prepare(digits_table(), "digit")`.
    """
    if not isinstance(table, Table):
        raise DataError(f"prepare: got {type(table).__name__}, expected a table: {MAKE_TABLE}")
    if missing not in POLICIES:
        raise OptionError(f'missing: "{missing}" is unknown: {suggestion(missing, POLICIES)}')
    table.column(target)
    table, features = choose_features(table, target, drop, keep_index=keep_index)
    task = task or guess_task(table, target)
    check_task(task)
    table = tell_lost_digits(table, features if task == "classify" else (*features, target))
    table = tell_joined_labels(table, target) if task == "classify" else table
    table = handle_gaps(table, features, target, task, missing)
    classes = Classes.of(table.labels(target), target) if task == "classify" else None
    if classes is not None:
        table = replace(table, notes=(*table.notes, *classes.notes(f'{table.source}: column "{target}"')))
    y = None if classes is None else classes.y(table)
    split = split_data(table, y, validation=validation, test=test, seed=seed)
    goal = classes or Quantity.of(table, target, split.train)
    preparation = Preparation(table_inputs(table, features, missing, split.train), goal)
    return preparation, Parts(table, preparation, split, preparation.y(table))


def prepare_images(
    images: Images, *, validation: float = 0.1, test: float = 0.2, seed: int = 0
) -> tuple[Preparation, Parts]:
    """Find the classes, split the images, and compute each channel's scaling on the training images.

    The data's own validation and test parts are used unchanged, see `split_data`. Raises DataError for a single class
    or too few images, OptionError for invalid fractions.
    """
    if not isinstance(images, Images):
        raise DataError(f"prepare_images: got {type(images).__name__}, expected images: read them with read_images")
    target = Classes.of(images.labels())
    y = target.y(images)
    split = split_data(images, y, validation=validation, test=test, seed=seed)
    inputs = image_inputs(images, split.train)
    told = inputs.brightness.told(images, split.train)
    told += inputs.brightness.check(images, split.validation, "validation")
    told += inputs.brightness.check(images, split.test, "test")
    told += target.notes(images.source)
    doubtful = [f'"{name}"' for name in target.names if is_missing(str(name))]
    if doubtful:
        told += (f"{images.source}: {', '.join(doubtful)} is read as the name of a class, not as a missing label",)
    preparation = Preparation(inputs, target)
    return preparation, Parts(replace(images, notes=(*images.notes, *told)), preparation, split, y)


def prepare_text(
    text: Text, *, tokens: str = "characters", length: int = 128, validation: float = 0.1, test: float = 0.1
) -> tuple[Preparation, Parts]:
    """Cut a text into tokens ("characters", "words" or "bytes"), and these into windows of `length`.

    The last fractions of the text, `validation` and `test`, are for validation and testing. Words are those of the
    training part. Raises DataError for a text that is too short, OptionError for invalid settings.
    """
    if not isinstance(text, Text):
        raise DataError(f"prepare_text: got {type(text).__name__}, expected a text: read one with read_text")
    seen = round((1.0 - validation - test) * len(text.characters))
    vocabulary = make_vocabulary(tokens, text.characters[:seen] if tokens == "words" else text.characters)
    if len(vocabulary) < 2:
        what = "no word twice" if tokens == "words" else f"one {vocabulary.unit} only"
        raise DataError(f"{text.source}: it has {what}, which leaves nothing to learn: use another text")
    windows = Windows.of(text, vocabulary, length, validation=validation, test=test)
    preparation = Preparation(TextInputs(vocabulary, length), NextToken(len(vocabulary)))
    y = preparation.y(windows)
    split = preparation.split(windows, y, validation=validation, test=test, seed=0)
    return preparation, Parts(windows, preparation, split, y)


def split_data(data: Dataset, classes: Array | None, *, validation: float, test: float, seed: int) -> Split:
    """The parts of data, by class (n,) if there are classes.

    The data's own validation and test parts are used unchanged, unless `validation` or `test` is 0; the fractions apply
    to the other rows.
    """
    rest = data.rows - data.validation - data.test
    split = split_rows(
        rest,
        validation=0.0 if data.validation else validation,
        test=0.0 if data.test else test,
        seed=seed,
        classes=None if classes is None else classes[:rest],
    )
    given = np.arange(rest, data.rows)
    return Split(
        split.train,
        given[: data.validation] if data.validation and validation > 0 else split.validation,
        given[data.validation :] if data.test and test > 0 else split.test,
    )
