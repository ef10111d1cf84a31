"""What an engine is made from: the definition of a training step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from chainrule.autodiff.tensor import Tensor
from chainrule.kernels.updates import Update

Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor | None], Tensor]
PREDICT_BATCH = 256  # rows predicted at once: large enough for full tiles, small enough for the caches


@dataclass(frozen=True)
class Setup:
    """A step lowers loss(model(x), y, weight or None), a single number, by an `update` of each of the `parameters`.

    Gradients are clipped by value to ±`clip_value` first, then by global norm to `clip_norm`. `seed` determines dropout
    and augmentation. `workers`: threads, by default the processors this process may use. `memory_limit`: bytes that a
    step may take, kept by recomputing values (`chainrule.engine.recompute`). `buffers`: the model's, whose names a
    printed program shows.
    """

    model: Callable[[Tensor], Tensor]
    loss: Loss
    parameters: Mapping[str, Tensor]
    update: Update
    seed: int = 0
    clip_norm: float | None = None
    clip_value: float | None = None
    workers: int | None = None
    memory_limit: int | None = None
    buffers: Mapping[str, Tensor] = field(default_factory=dict)
