"""What is saved of a preparation, as schemas: what a file may hold is checked here before anything is made of it."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from msgspec import Meta

from chainrule.data.images.brightness import Brightness
from chainrule.data.images.inputs import ImageInputs
from chainrule.data.images.pixels import DEPTHS, MOST_BYTES, NUMBERS
from chainrule.data.preparation import Inputs, Preparation, Target
from chainrule.data.scaling import Scaling
from chainrule.data.tables.inputs import TableInputs
from chainrule.data.target import Class, Classes, Quantity
from chainrule.data.text.inputs import NextToken, TextInputs
from chainrule.data.text.vocabulary import UNKNOWN, Bytes, Characters, Words
from chainrule.records import Record, convert

Side: TypeAlias = Annotated[int, Meta(ge=1, le=MOST_BYTES)]
Names: TypeAlias = Annotated[list[str], Meta(min_length=1)]


class ScalingRecord(Record):
    """A mean and a deviation for each column or channel."""

    mean: Annotated[list[float], Meta(min_length=1)]
    deviation: list[float]

    def __post_init__(self) -> None:
        wrong = next((i for i, value in enumerate(self.mean) if not math.isfinite(value)), None)
        if wrong is not None:
            raise ValueError(f"mean[{wrong}]: expected a finite number")
        wrong = next((i for i, value in enumerate(self.deviation) if not 0 < value < math.inf), None)
        if wrong is not None:
            raise ValueError(f"deviation[{wrong}]: expected a finite number above 0")
        if len(self.mean) != len(self.deviation):
            raise ValueError(f"deviation: expected one number for each of the {len(self.mean):,} of mean")

    def build(self) -> Scaling:
        return Scaling(np.array(self.mean), np.array(self.deviation))

    def check_length(self, expected: int, what: str) -> None:
        if len(self.mean) != expected:
            raise ValueError(f"scaling.mean: expected as many numbers as there are {what}s, {expected:,}")


class TableRecord(Record, tag_field="kind", tag=TableInputs.kind):
    """Columns as inputs."""

    features: Names
    missing: Literal["refuse", "mean", "drop"]
    scaling: ScalingRecord

    def __post_init__(self) -> None:
        _once("features", self.features)
        self.scaling.check_length(len(self.features), "feature")

    def build(self) -> TableInputs:
        return TableInputs(tuple(self.features), self.missing, self.scaling.build())


class BrightnessRecord(Record):
    """What pixel values mean."""

    kind: Literal["uint8", "uint16", "numbers"]
    full: float | None
    low: float
    high: float

    def __post_init__(self) -> None:
        for name, value in (("full", self.full), ("low", self.low), ("high", self.high)):
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name}: expected a finite number")
        if self.full is None and self.kind != NUMBERS:
            raise ValueError(f"full: expected a number above 0, as values are {self.kind}")
        if self.full is not None and self.full <= 0:
            raise ValueError("full: expected a number above 0, or null")
        if not self.low <= self.high:
            raise ValueError(f"high: expected at least low, {self.low:g}")
        if self.kind in DEPTHS and not 0 <= self.low <= self.high <= DEPTHS[self.kind]:
            raise ValueError(f"high: expected low and high from 0 to {DEPTHS[self.kind]:g}, as values are {self.kind}")

    def build(self) -> Brightness:
        return Brightness(self.kind, self.full, self.low, self.high)


class ImagesRecord(Record, tag_field="kind", tag=ImageInputs.kind):
    """Pixels as inputs."""

    shape: tuple[Side, Side, Side]
    brightness: BrightnessRecord
    scaling: ScalingRecord

    def __post_init__(self) -> None:
        if math.prod(self.shape) > MOST_BYTES:
            raise ValueError(f"shape: expected at most {MOST_BYTES:,} values in an image")
        self.scaling.check_length(self.shape[-1], "channel")

    def build(self) -> ImageInputs:
        return ImageInputs(self.shape, self.brightness.build(), self.scaling.build())


class ClassesRecord(Record, tag_field="task", tag=Classes.task):
    """Classes as the target; `column` is null for images."""

    column: str | None
    names: Annotated[list[str | int], Meta(min_length=2)]

    def __post_init__(self) -> None:
        kinds: set[type[Class]] = {type(name) for name in self.names}
        if len(kinds) > 1:
            raise ValueError("names: expected text only, or whole numbers only")
        _once("names", self.names)

    def build(self) -> Classes:
        return Classes(tuple(self.names), self.column)


class QuantityRecord(Record, tag_field="task", tag=Quantity.task):
    """A quantity as the target."""

    column: str
    scaling: ScalingRecord

    def __post_init__(self) -> None:
        self.scaling.check_length(1, "target")

    def build(self) -> Quantity:
        return Quantity(self.scaling.build(), self.column)


class CharactersRecord(Record, tag_field="kind", tag=Characters.kind):
    """Characters, in order."""

    names: Names

    def __post_init__(self) -> None:
        _once("names", self.names)
        for place, name in enumerate(self.names):
            if len(name) != 1 or (place > 0 and name < self.names[place - 1]):
                raise ValueError(f"names[{place}]: expected one character, after the one before it in Unicode")

    def build(self) -> Characters:
        return Characters(tuple(self.names))


class WordsRecord(Record, tag_field="kind", tag=Words.kind):
    """Words, the unknown one first."""

    names: Names

    def __post_init__(self) -> None:
        _once("names", self.names)
        if self.names[0] != UNKNOWN or "" in self.names:
            raise ValueError(f'names: expected "{UNKNOWN}" for unknown words, then words')

    def build(self) -> Words:
        return Words(tuple(self.names))


class BytesRecord(Record, tag_field="kind", tag=Bytes.kind):
    """Bytes."""

    def build(self) -> Bytes:
        return Bytes()


class TextRecord(Record, tag_field="kind", tag=TextInputs.kind):
    """Windows of a text as inputs."""

    length: Annotated[int, Meta(ge=1, le=MOST_BYTES)]
    vocabulary: CharactersRecord | WordsRecord | BytesRecord

    def build(self) -> TextInputs:
        return TextInputs(self.vocabulary.build(), self.length)


class NextTokenRecord(Record, tag_field="task", tag=NextToken.task):
    """The next token as the target."""

    tokens: Annotated[int, Meta(ge=1)]
    column: None = None

    def build(self) -> NextToken:
        return NextToken(self.tokens)


class PreparationRecord(Record):
    """Inputs and target; images have classes, which are in no column, and text its next token."""

    inputs: TableRecord | ImagesRecord | TextRecord
    target: ClassesRecord | QuantityRecord | NextTokenRecord

    def __post_init__(self) -> None:
        column = self.target.column
        if isinstance(self.inputs, TextRecord) or isinstance(self.target, NextTokenRecord):
            self._check_text()
        elif isinstance(self.inputs, ImagesRecord):
            if isinstance(self.target, QuantityRecord) or column is not None:
                raise ValueError("target: expected classes without a column, as the inputs are images")
        elif column is None:
            raise ValueError("target.column: expected the name of a column, as the inputs are a table")
        elif column in self.inputs.features:
            raise ValueError("target.column: expected a column that is not among the features")

    def _check_text(self) -> None:
        if not isinstance(self.inputs, TextRecord) or not isinstance(self.target, NextTokenRecord):
            raise ValueError('target.task: expected "generate" if the inputs are text, and for text alone')
        tokens = len(self.inputs.vocabulary.build())
        if self.target.tokens != tokens:
            raise ValueError(f"target.tokens: expected those of the vocabulary, {tokens:,}")

    def build(self) -> Preparation:
        inputs: Inputs = self.inputs.build()
        target: Target = self.target.build()
        return Preparation(inputs, target)


def read_preparation(values: Any) -> Preparation:
    """Read what `Preparation.to_dict` wrote; raises DataError with the field for anything else."""
    return convert("preparation", values, PreparationRecord).build()


def _once(field: str, names: list[str] | list[str | int]) -> None:
    """Raise ValueError if a name is there twice."""
    seen: set[str | int] = set()
    for place, name in enumerate(names):
        if name in seen:
            raise ValueError(f"{field}[{place}]: expected a name that is not there before")
        seen.add(name)
