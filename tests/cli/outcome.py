"""What a command did, settings that make training quick, and the run that a training leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


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


def train(chainrule: Command, *arguments: object) -> Path:
    """Train; returns the run's folder."""
    outcome = chainrule("train", *arguments)
    assert outcome.status == 0, outcome.err
    return Path(outcome.lines[-1].removeprefix("run: "))
