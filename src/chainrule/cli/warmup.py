"""`chainrule warmup`: compile the kernels ahead of time."""

from __future__ import annotations

import sys


def warmup() -> None:
    """Compile all kernels now, so that later runs start at once.

    They are cached on disk; an upgrade or another processor needs new ones.

    Example:
      [bold]chainrule warmup[/bold]
    """
    from chainrule.engine.warmup import warmup as compile_all
    from chainrule.optim.optimizers import UPDATES

    sys.stdout.write(f"{compile_all(UPDATES.values())} kernels are ready\n")
