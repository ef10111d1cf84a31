"""What a command did, and settings that make training quick."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Command = Callable[..., Outcome]
QUICK = ("engine=reference", "epochs=3", "model=mlp:8", "batch_size=32")
