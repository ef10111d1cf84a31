"""`chainrule train`: from a table or images to a trained network in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from chainrule.cli.options import takes_settings
from chainrule.cli.settings import resolve


@takes_settings
def train(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="A set by name (digits, fashion-mnist, mnist), a .csv, .tsv, .parquet, .npz or IDX file, or a folder "
            "of class/name.png",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="key=value", help="Settings by name, as in lr=0.01")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Settings in a YAML file; other options win")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the last lines only")] = False,
    **options: Any,
) -> None:
    """Train a network on a table or on images, test it, and keep it.

    Examples:

    [bold]chainrule train digits[/bold]

    [bold]chainrule train iris.csv --target species --model mlp:16 --epochs 200[/bold]

    [bold]chainrule train houses.parquet --target price --task regress --missing mean --patience 20[/bold]

    [bold]chainrule train photos --image-size 32 --augment shift:2,flip[/bold]

    [bold]chainrule train --config runs/20260131-120000-digits/config.yaml lr=0.005[/bold]
    """
    words = list(overrides or [])
    if data is not None and "=" in data and not Path(data).exists():
        words.insert(0, data)  # the data stands in the config file
        data = None
    settings = resolve(config, {"data": data, **options}, words)

    from chainrule.cli.training import train_network  # loads the library: not for --help or a wrong option

    train_network(settings, quiet=quiet)
