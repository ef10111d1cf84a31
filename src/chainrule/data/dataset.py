"""The interface of a data set for its preparation and for the commands: `Table`, `Images`, and future kinds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.data.split import Rows


@dataclass(frozen=True)
class Labels:
    """The label of each row, as written, and where it comes from."""

    where: str  # for messages
    words: NDArray[np.object_]  # (n,) of str; "" where a label is missing
    names: tuple[str, ...] = ()  # all classes in order, if the data set defines them
    numbered: bool = False  # the words are numbers, which may be indices of class names


class Dataset(Protocol):
    """Rows with a source: the last `test` are the data's own test part, the `validation` rows before them are for
    validation.
    """

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
