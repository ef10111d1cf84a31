"""A text as rows to train a language model on: windows of tokens, and each window one token further."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from chainrule.data.dataset import Labels
from chainrule.data.split import Rows
from chainrule.data.text.text import Text
from chainrule.data.text.vocabulary import Tokens, Vocabulary
from chainrule.errors import DataError, OptionError


@dataclass(frozen=True)
class Windows:
    """Windows of `length` tokens; the model reads one, and predicts after each of its tokens the next.

    The text is cut into parts first, in its order: training, validation, test; no window reaches from one into another.
    """

    text: Text
    vocabulary: Vocabulary
    tokens: Tokens  # of the whole text
    length: int
    starts: Rows  # of each window, those of training first
    validation: int = 0  # this many windows before the test part
    test: int = 0  # this many at the end

    @classmethod
    def of(cls, text: Text, vocabulary: Vocabulary, length: int, *, validation: float, test: float) -> Windows:
        """Windows side by side over each part; `validation` and `test` are fractions of the text.

        Raises DataError if a part is shorter than a window.
        """
        if validation + test >= 1.0:
            raise OptionError(
                f"split: validation {validation} and test {test} leave nothing to train on: use smaller parts"
            )
        tokens = vocabulary.encode(text.characters, text.source)
        ends = np.round(np.cumsum([1.0 - validation - test, validation, test]) * len(tokens)).astype(int)
        parts = []
        for name, start, end in zip(("training", "validation", "test"), (0, *ends), ends, strict=False):
            if end > start and end - start <= length:
                raise DataError(
                    f"{text.source}: its {name} part has {end - start:,} {vocabulary.unit}s, too few for windows of "
                    f"{length}: use a longer text, or a smaller length"
                )
            parts.append(np.arange(start, end - length, length, dtype=np.int64))
        return cls(text, vocabulary, tokens, length, np.concatenate(parts), len(parts[1]), len(parts[2]))

    @property
    def source(self) -> str:
        return self.text.source

    @property
    def notes(self) -> tuple[str, ...]:
        return self.text.notes

    @property
    def rows(self) -> int:
        return len(self.starts)

    @property
    def x(self) -> NDArray[np.int64]:
        """The tokens of each window: (n, length)."""
        return self._tokens_after(0)

    @property
    def y(self) -> NDArray[np.int64]:
        """After each token the next: (n, length)."""
        return self._tokens_after(1)

    def _tokens_after(self, places: int) -> NDArray[np.int64]:
        found: NDArray[np.int64] = self.tokens[self.starts[:, None] + np.arange(places, places + self.length)]
        return found

    def number(self, row: int) -> int:
        """The number of a window, from 1, for messages."""
        return row + 1

    def where(self, row: int) -> str:
        """The location of a window, for messages."""
        before = self.vocabulary.decode(self.tokens[: self.starts[row]].tolist())
        return f"{self.source}, the {self.length} {self.vocabulary.unit}s from line {before.count(chr(10)) + 1} on"

    def labels(self, column: str | None) -> Labels:
        """Raises DataError: the target of a window is its next token."""
        raise DataError(f"{self.source}: a text has no labels: each token is predicted from those before it")

    def take(self, rows: Rows) -> Windows:
        """These windows, in this order, without separate parts."""
        return replace(self, starts=self.starts[rows], validation=0, test=0)

    def fingerprint(self) -> str:
        return self.text.fingerprint()
