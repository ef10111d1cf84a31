"""All that a training run works with, in one place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chainrule.cli.run import Run, data_name
from chainrule.cli.settings import Settings
from chainrule.data.recipe import Prepared, Recipe
from chainrule.train.history import History
from chainrule.train.trainer import Trainer


@dataclass
class Job:
    settings: Settings
    preparation: Recipe
    parts: Prepared
    trainer: Trainer
    run: Run
    history: History = field(default_factory=History)

    @property
    def title(self) -> str:
        """Of figures."""
        return f"{data_name(self.settings.data)} {self.settings.model}"

    @property
    def test(self) -> Any:
        """The rows to test on; none when the run was stopped before its first step, as there is nothing to tell."""
        rows = self.parts.split.test
        return rows if self.trainer.steps else rows[:0]
