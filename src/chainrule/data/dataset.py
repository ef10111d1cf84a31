"""What a data set is to its preparation and to the commands: a `Table`, `Images`, and kinds to come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.data.split import Rows


@dataclass(frozen=True)
class Labels:
    """What each row is labelled, as it is written, and where that stands."""

    where: str  # for messages
    words: NDArray[np.object_]  # (n,) of str; "" where a label is missing
    names: tuple[str, ...] = ()  # all classes in their order, where the data set says so
    numbered: bool = False  # the words are numbers, which may stand for places among the names of classes


class Dataset(Protocol):
    """Rows with an origin: the last `test` are the data's own test part, `validation` before it for validation."""

    @property
    def source(self) -> str: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    @property
    def rows(self) -> int: ...
    @property
    def validation(self) -> int: ...
    @property
    def test(self) -> int: ...
    def number(self, row: int) -> int: ...
    def where(self, row: int) -> str: ...
    def take(self, rows: Rows) -> Any: ...
    def fingerprint(self) -> str: ...
    def labels(self, column: str | None) -> Labels: ...
