"""The JSON files of a run, as schemas."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, TypeAlias

from msgspec import Meta, field

from chainrule.data.record import PreparationRecord
from chainrule.records import Record

Count: TypeAlias = Annotated[int, Meta(ge=0, le=10**12)]
Share: TypeAlias = Annotated[float, Meta(ge=0, le=1)]


class DataRecord(Record):
    """data.json."""

    fingerprint: str
    preparation: PreparationRecord

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{16}", self.fingerprint):
            raise ValueError("fingerprint: expected 16 hexadecimal digits")


class ClassRecord(Record):
    """The test results of one class."""

    name: str | int = field(name="class")
    precision: Share
    recall: Share
    f1: Share
    rows: Count


GROUPS = ({"accuracy", "classes"}, {"mae", "rmse", "r2"}, {"accuracy", "loss"})  # of results that are there together


class TestRecord(Record):
    """Test results: those of classes, of a quantity, or of a text."""

    rows: Count
    accuracy: Share | None = None
    classes: list[ClassRecord] | None = None
    mae: Annotated[float, Meta(ge=0)] | None = None
    rmse: Annotated[float, Meta(ge=0)] | None = None
    r2: Annotated[float, Meta(le=1)] | None = None
    loss: Annotated[float, Meta(ge=0)] | None = None

    def __post_init__(self) -> None:
        if self._given() not in GROUPS:
            raise ValueError("classes: expected accuracy and classes, or mae, rmse and r2, or accuracy and loss")
        if self.classes is not None and sum(row.rows for row in self.classes) != self.rows:
            raise ValueError(f"classes: expected {self.rows:,} rows in all of them")

    def _given(self) -> set[str]:
        names = ("accuracy", "classes", "mae", "rmse", "r2", "loss")
        return {name for name in names if getattr(self, name) is not None}

    def values(self) -> dict[str, Any]:
        """The results as `report.measure` returns them."""
        if self.classes is None:
            return {"rows": self.rows, **{name: getattr(self, name) for name in self._given()}}
        keys = ("precision", "recall", "f1", "rows")
        classes = [{"class": row.name, **{key: getattr(row, key) for key in keys}} for row in self.classes]
        return {"rows": self.rows, "accuracy": self.accuracy, "classes": classes}


class ResultsRecord(Record):
    """results.json."""

    ended: Annotated[str, Meta(min_length=1)]
    epochs: Count
    test: TestRecord | None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.seconds < math.inf:
            raise ValueError("seconds: expected a finite number of at least 0")
        if self.failed and self.test is not None:
            raise ValueError("test: expected null, as the run failed")

    @property
    def failed(self) -> bool:
        return self.ended.startswith("failed")
