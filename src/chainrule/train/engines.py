"""The two engines, by name."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule.engine.setup import Setup
from chainrule.errors import OptionError
from chainrule.kernels.augmentation import Augment
from chainrule.native.memory import Array
from chainrule.settings import choice

ENGINES = ("compiled", "reference")


class Engine(Protocol):
    """What a trainer needs from an engine; see `chainrule.engine.reference.ReferenceEngine`."""

    @property
    def program(self) -> Any: ...
    def bind(
        self,
        x: Any,
        y: Any,
        weight: Array | None = None,
        augment: Augment | None = None,
        first_step: int = 0,
    ) -> None: ...
    @property
    def steps(self) -> int: ...
    def run(
        self, indices: NDArray[np.int64], coefficients: NDArray[np.float64], first_step: int
    ) -> NDArray[np.float64]: ...
    def gradients(
        self, x: Any, y: Any, weight: Array | None = None, step: int = 0
    ) -> tuple[float, dict[str, Array]]: ...
    def outline(self, x: Any) -> Any: ...
    def predict(self, x: Any) -> Any: ...
    def forget(self) -> None: ...


def make_engine(name: str, setup: Setup) -> Engine:
    """The engine of that name, "compiled" or "reference"; raises OptionError for another."""
    if choice("Trainer", "engine", name, ENGINES) == "reference":
        from chainrule.engine.reference import ReferenceEngine

        if setup.memory_limit is not None:
            raise OptionError('Trainer: memory_limit needs engine="compiled", which plans its memory')
        return ReferenceEngine(setup)
    from chainrule.engine.compiled import CompiledEngine  # compiles kernels, so only if it is used

    return CompiledEngine(setup)
