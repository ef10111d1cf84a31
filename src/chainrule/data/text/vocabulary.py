"""Vocabularies: which tokens a text is cut into, and the number of each.

`encode` turns text into numbers, `decode` numbers into text; what was encoded whole comes back as it was.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule.data.names import suggestion
from chainrule.errors import DataError, OptionError

Tokens: TypeAlias = NDArray[np.int64]
UNKNOWN = "\ufffd"  # the replacement character stands for every word that is not in the vocabulary
# A word with the blank before it, a run of other signs likewise, or white space: joined, they are the text again.
WORD = re.compile(r" ?\w+| ?[^\w\s]+|\s")


class _Named:
    """Tokens with names, in the order of their numbers."""

    names: tuple[str, ...]
    kind: ClassVar[str]

    def __len__(self) -> int:
        return len(self.names)

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of some numbers."""
        return "".join(self.names[number] for number in numbers)

    def decoding(self, numbers: Iterable[int]) -> Iterator[str]:
        """The text of each number as it comes."""
        return (self.names[number] for number in numbers)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "names": list(self.names)}


@dataclass(frozen=True)
class Characters(_Named):
    """Each character is a token; a text with others is refused.

    >>> vocabulary = Characters.of("to be or not")
    >>> vocabulary.encode("be").tolist()
    [1, 2]
    >>> vocabulary.decode([1, 2])
    'be'
    """

    names: tuple[str, ...]  # in order
    kind: ClassVar[str] = "characters"
    unit: ClassVar[str] = "character"

    @classmethod
    def of(cls, text: str) -> Characters:
        """The vocabulary of a text."""
        return cls(tuple(sorted(set(text))))

    def encode(self, text: str, where: str = "text") -> Tokens:
        """The numbers of a text's characters; raises DataError for the first that is not in the vocabulary."""
        known = np.array([ord(name) for name in self.names])
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        found = np.searchsorted(known, codes).clip(max=len(known) - 1)
        strange = np.flatnonzero(known[found] != codes)
        if len(strange):
            place = int(strange[0])
            raise DataError(f"{where}: {_told(text, place)}, which the training text does not have: leave it out")
        return found.astype(np.int64)


@dataclass(frozen=True)
class Words(_Named):
    """Each word is a token, with the blank before it, so are runs of other signs; rare words are one unknown token.

    >>> vocabulary = Words.of("to be, or not to be", least=2)
    >>> vocabulary.names
    ('\ufffd', ' be')
    >>> vocabulary.decode(vocabulary.encode("let it be"))
    '\ufffd\ufffd be'
    """

    names: tuple[str, ...]  # the unknown token first, then by falling frequency
    kind: ClassVar[str] = "words"
    unit: ClassVar[str] = "word"
    _numbers: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_numbers", {name: number for number, name in enumerate(self.names)})

    @classmethod
    def of(cls, text: str, least: int = 2, most: int = 50_000) -> Words:
        """The `most` frequent words that occur at least `least` times."""
        counts = Counter(WORD.findall(text))
        counts.pop(UNKNOWN, None)
        often = sorted((name for name, count in counts.items() if count >= least), key=lambda n: (-counts[n], n))
        return cls((UNKNOWN, *often[: most - 1]))

    def encode(self, text: str, where: str = "text") -> Tokens:
        """The numbers of a text's words, 0 for an unknown one."""
        known = self._numbers
        return np.array([known.get(word, 0) for word in WORD.findall(text)], np.int64)


@dataclass(frozen=True)
class Bytes:
    """Each byte of the text in UTF-8 is a token: any text can be encoded.

    >>> Bytes().encode("é").tolist()
    [195, 169]
    >>> Bytes().decode([195, 169])
    'é'
    """

    kind: ClassVar[str] = "bytes"
    unit: ClassVar[str] = "byte"

    @classmethod
    def of(cls, text: str) -> Bytes:
        """The vocabulary of any text."""
        return cls()

    def __len__(self) -> int:
        return 256

    def encode(self, text: str, where: str = "text") -> Tokens:
        """The bytes of a text."""
        return np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int64)

    def decode(self, numbers: Iterable[int]) -> str:
        """The text of some bytes, with the replacement character for those that are no UTF-8."""
        return bytes(numbers).decode("utf-8", errors="replace")

    def decoding(self, numbers: Iterable[int]) -> Iterator[str]:
        """The text as its bytes come: nothing until a character is complete."""
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        for number in numbers:
            yield decoder.decode(bytes([number]))
        yield decoder.decode(b"", final=True)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind}


Vocabulary: TypeAlias = Characters | Words | Bytes
KINDS: dict[str, type[Characters] | type[Words] | type[Bytes]] = {k.kind: k for k in (Characters, Words, Bytes)}


def make_vocabulary(kind: str, text: str) -> Vocabulary:
    """The vocabulary of a text: "characters", "words" or "bytes"; raises OptionError for another kind."""
    if kind not in KINDS:
        raise OptionError(f'tokens: "{kind}" is unknown: {suggestion(kind, KINDS)}')
    return KINDS[kind].of(text)


def _told(text: str, place: int) -> str:
    """A character and its place: `character 3 is "é" (U+00E9, LATIN SMALL LETTER E WITH ACUTE)`."""
    sign = text[place]
    name = unicodedata.name(sign, "")
    shown = f'"{sign}" ' if sign.isprintable() else ""
    return f"character {place + 1} is {shown}(U+{ord(sign):04X}{', ' if name else ''}{name})"
