"""How the tokens of a text become inputs, and what is predicted from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from chainrule.data.text.vocabulary import Vocabulary
from chainrule.data.text.windows import Windows


@dataclass(frozen=True)
class TextInputs:
    """Windows of `length` tokens."""

    vocabulary: Vocabulary
    length: int
    kind: ClassVar[str] = "text"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one row of x."""
        return (self.length,)

    def x(self, windows: Windows) -> NDArray[np.int64]:
        """The tokens of each window: (n, length)."""
        return windows.x

    def whole_rows(self, windows: Windows, target: Any) -> Windows:
        """All of the windows: a text has no missing values."""
        return windows

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "length": self.length, "vocabulary": self.vocabulary.to_dict()}


@dataclass(frozen=True)
class NextToken:
    """After each token of a window the next."""

    tokens: int  # different ones
    task: ClassVar[str] = "generate"
    column: ClassVar[None] = None

    @property
    def outputs(self) -> int:
        return self.tokens

    def y(self, windows: Windows) -> NDArray[np.int64]:
        """The token after each of a window: (n, length)."""
        return windows.y

    def to_dict(self) -> dict[str, Any]:
        return {"task": self.task, "tokens": self.tokens}
