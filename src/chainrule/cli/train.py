"""`chainrule train`: from a table or images to a trained network in a folder of its own.

In order: settings, data, network, run folder, training, test, results and figures. Nothing is written before all
settings are known to be good.
"""

from __future__ import annotations

import math
import signal
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import chainrule as cr
from chainrule.cli.config import resolve
from chainrule.cli.job import Job
from chainrule.cli.options import takes_settings
from chainrule.cli.settings import Settings
from chainrule.interrupt import Interrupt

if TYPE_CHECKING:
    from rich.console import Console

    from chainrule.cli.report import Array
    from chainrule.cli.run import Log
    from chainrule.train.history import History

KEPT = 10.0  # seconds between two saves of the weights


@takes_settings
def train(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="A bundled or well-known data set (digits, fashion-mnist, mnist), a .csv, .tsv, .parquet, .npz or IDX "
            "file, a folder of class/name.png or train/class/name.png, or a text (.txt)",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="key=value", help="Settings by name, such as lr=0.01")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="Read settings from a YAML file; options override them"),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only notes on the data, the test result and the run folder")
    ] = False,
    **options: Any,
) -> None:
    """Train a network on a table, on images or on a text, test it, and save it.

    Weights, results and figures are written to a new folder in runs/. Ctrl-C stops early and keeps what was learned.

    Examples:
      [bold]chainrule train digits[/bold]
      [bold]chainrule train iris.csv --target species --model mlp:16 --epochs 200[/bold]
      [bold]chainrule train houses.parquet --target price --task regress --missing mean --patience 20[/bold]
      [bold]chainrule train photos --image-size 32 --augment shift:2,flip[/bold]
      [bold]chainrule train book.txt --model lstm:256 --epochs 10[/bold]
      [bold]chainrule train --config runs/20260131-120000-digits/config.yaml lr=0.005[/bold]
    """
    words = [*([] if data is None else [data]), *(overrides or [])]
    data = next((word for word in words if "=" not in word or Path(word).exists()), None)  # or in the config file
    if data is not None:
        words.remove(data)
    settings = resolve(config, {"data": data, **options}, words)

    from chainrule.cli.report import console

    job = prepare_job(settings, console(quiet=quiet))
    try:
        run_job(job, quiet=quiet)
    finally:
        console().print(f"run: {job.run.folder}")
    if job.trainer.history.interrupted:
        raise KeyboardInterrupt
    if job.troubles.status:
        raise typer.Exit(job.troubles.status)


def prepare_job(settings: Settings, out: Console) -> Job:
    """Read the data, build the network, and make the run's folder; OptionError or DataError before it exists."""
    from chainrule.cli import factory
    from chainrule.cli.loading import read_data
    from chainrule.cli.report import layer_table
    from chainrule.cli.run import Run

    factory.check(settings)
    settings, preparation, parts, fingerprint = read_data(settings, out)
    cr.seed(settings.seed)
    model = factory.build_model(settings, preparation.input_shape, preparation.outputs)
    steps = -(-len(parts.split.train) // settings.batch_size)
    trainer = factory.build_trainer(model, settings, preparation, steps_per_epoch=steps)
    augment = factory.build_augmentation(settings, preparation)
    out.print(layer_table(model, preparation))
    return Job(settings, preparation, parts, augment, trainer, Run.create(settings, preparation, fingerprint))


def run_job(job: Job, *, quiet: bool) -> None:
    """Train, also until Ctrl-C, then save the weights, test them, and write the results and figures."""
    from chainrule.cli.figures import draw
    from chainrule.cli.report import console, headline, result_table

    with Interrupt() as interrupt:
        try:
            history = fit(job, quiet=quiet)
            ended = _stopped_by(interrupt) if history.interrupted else history.stopped or "finished"
            with nullcontext() if history.interrupted else interrupt.shield():
                ended = keep(job, ended)
            outputs, measured = test(job)
        except KeyboardInterrupt:
            if not job.trainer.history.interrupted:  # a second one ends the command at once
                keep(job, _stopped_by(interrupt))
            raise
        except Exception as error:
            keep(job, f"failed: {error or type(error).__name__}")
            raise
    out = console(quiet=quiet)
    if history.interrupted and not job.troubles.status:
        out.print("interrupted: the weights after the last step are saved")
    if measured:
        write_results(job, ended, measured)
        out.print(result_table(measured))
        console().print(f"test {headline(job.preparation, measured)}")
    draw(job, outputs, out)


def _stopped_by(interrupt: Interrupt) -> str:
    first = interrupt.first or signal.SIGINT
    return "interrupted" if first == signal.SIGINT else f"interrupted by {first.name}"


def fit(job: Job, *, quiet: bool) -> History:
    """Train, writing each epoch's metrics as it ends."""
    from chainrule.cli.loading import naming_rows
    from chainrule.cli.run import Log
    from chainrule.train import EarlyStopping

    settings, parts = job.settings, job.parts
    log = Log(job.run.metrics)
    callbacks: list[Any] = [Recorder(job, log)]
    if settings.patience is not None:
        callbacks.append(EarlyStopping(settings.patience))
    try:
        with naming_rows(parts.data, parts.split.validation):
            return job.trainer.fit(
                *parts.arrays(parts.split.train),
                epochs=settings.epochs,
                batch_size=settings.batch_size,
                validation_data=parts.arrays(parts.split.validation) if len(parts.split.validation) else None,
                augment=job.augment,
                callbacks=callbacks,
                verbose=0 if quiet else 1,
            )
    finally:
        log.close()


class Recorder:
    """Writes each epoch's metrics as it ends, and its weights every KEPT seconds at most: a killed run leaves both."""

    def __init__(self, job: Job, log: Log) -> None:
        self._job, self._log = job, log
        self._written, self._saved = 0, -math.inf

    def on_epoch_end(self, epoch: int, history: History) -> None:
        self._write(epoch + 1, history)
        if time.monotonic() - self._saved >= KEPT:
            with self._job.troubles.writing(self._job.run.model, lost=False):
                cr.save(self._job.trainer.model, self._job.run.model)
            self._saved = time.monotonic()

    def on_fit_end(self, history: History) -> None:
        if history.epochs > self._written:  # Ctrl-C came between an epoch's end and its event
            self._write(history.epochs, history)

    def _write(self, epoch: int, history: History) -> None:
        with self._job.troubles.writing(self._log.path):
            self._log.write({"epoch": epoch, **history.last})
        self._written = epoch


def test(job: Job) -> tuple[Array | None, dict[str, Any] | None]:
    """The network's outputs for the test part and their metrics; None if it has no rows."""
    from chainrule.cli.loading import naming_rows
    from chainrule.cli.report import measure_run

    x, y = job.parts.arrays(job.test)
    if not len(y):
        return None, None
    with naming_rows(job.parts.data, job.test):
        return measure_run(job.preparation, job.trainer, x, y)


def keep(job: Job, ended: str) -> str:
    """Save the weights as they are, and how the training ended, as far as they can be written; returns the latter."""
    from chainrule.cli.run import UNSAVED

    told = f"{ended}; {UNSAVED}"
    with job.troubles.writing(job.run.model):
        cr.save(job.trainer.model, job.run.model)
        told = ended
    write_results(job, told, None)
    return told


def write_results(job: Job, ended: str, measured: dict[str, Any] | None) -> None:
    history = job.trainer.history
    seconds = round(sum(history["seconds"]), 3) if "seconds" in history else 0.0
    with job.troubles.writing(job.run.results):
        job.run.write_results({"ended": ended, "epochs": history.epochs, "seconds": seconds, "test": measured})
