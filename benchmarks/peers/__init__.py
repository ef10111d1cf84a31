"""The peers: one file each, all with `variants(workload, threads)` and a class `Peer` that `benchmarks.worker` drives.

`variants` gives the settings worth trying for that rival; the parent calibrates them all and keeps the fastest, so
that each rival shows its best. A `Peer` has

* `check(steps)`: the losses of the first `steps` steps from the common initial weights, batches in the data's order;
* `run(steps)`: trains at least `steps` steps from those weights with shuffled batches and returns (steps done,
  seconds, last loss).

`run` includes what a user pays for on every step: shuffling, gathering the batch, recording its loss. Loading data,
compiling and the first steps are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Contender:
    """A row of the comparison: its title, its module, whether it is ours, and how far its losses may be off."""

    title: str
    module: str
    ours: bool = False
    tolerance: float = 1e-3  # relative, over the steps checked


PEERS = {
    "torch_eager": Contender("PyTorch eager, fused optimizer", "torch_eager"),
    "torch_compile": Contender("PyTorch, whole step compiled", "torch_compile"),
    "jax_step": Contender("JAX, one jitted step per call", "jax_step"),
    "jax_scan": Contender("JAX, lax.scan over steps", "jax_scan"),
    "sklearn_mlp": Contender("scikit-learn MLP", "sklearn_mlp", tolerance=5e-3),
    "chainrule": Contender("chainrule, Trainer.fit", "chainrule_peer", ours=True),
    "chainrule_step": Contender("chainrule, Trainer.step per batch", "chainrule_step", ours=True),
}
RIVALS = tuple(name for name, contender in PEERS.items() if not contender.ours)


@dataclass(frozen=True)
class Variant:
    """One way to run a peer: settings it reads, and environment variables that must stand before it is imported."""

    label: str
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
