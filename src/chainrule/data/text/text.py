"""A text in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """Characters, and where they come from."""

    source: str
    characters: str
    notes: tuple[str, ...] = ()  # messages for the user about what reading changed

    def __repr__(self) -> str:
        return f"<Text {self.source}: {len(self.characters):,} characters>"

    def fingerprint(self) -> str:
        """A hash of the characters, so that a run can recognize its training data."""
        return hashlib.sha256(self.characters.encode()).hexdigest()[:16]
