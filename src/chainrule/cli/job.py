"""What a training from the command line is made of; its parts are imported where they are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chainrule.cli.troubles import Troubles

if TYPE_CHECKING:
    import chainrule as cr
    from chainrule.cli.run import Run
    from chainrule.cli.settings import Settings
    from chainrule.data.augmentation import Augmentation
    from chainrule.data.preparation import Parts, Preparation


@dataclass
class Job:
    """All that a training run works with."""

    settings: Settings
    preparation: Preparation
    parts: Parts
    augment: Augmentation | None
    trainer: cr.Trainer
    run: Run
    troubles: Troubles = field(default_factory=Troubles)

    @property
    def test(self) -> Any:
        """The test rows; none if the run was stopped before its first step, as there is nothing to measure."""
        rows = self.parts.split.test
        return rows if self.trainer.steps else rows[:0]
