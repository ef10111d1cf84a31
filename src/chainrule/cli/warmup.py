"""`chainrule warmup`: compile ahead, so that no later run waits."""

from __future__ import annotations

import typer


def warmup() -> None:
    """Compile all kernels now, so that no later run has to.

    They are kept on disk; an upgrade or another processor makes new ones.

    Example: [bold]chainrule warmup[/bold]
    """
    from chainrule.engine.warmup import warmup as compile_all

    typer.echo(f"{compile_all()} kernels are ready")
