"""The figures of a run, drawn at its end."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console

from chainrule.cli.factory import loss_name
from chainrule.cli.job import Job
from chainrule.cli.report import Array, count, probabilities, row_word
from chainrule.cli.run import data_name
from chainrule.data.images import Images
from chainrule.data.target import Quantity
from chainrule.errors import FileError
from chainrule.files import write_whole
from chainrule.train import metrics

Draw = Callable[[Path], None]
MOST_CLASSES = 1000  # of a confusion matrix; a picture of more has no use, and takes the square of their number
LOSS_WORDS = {"cross-entropy": "cross-entropy", "mse": "MSE", "mae": "MAE", "huber": "Huber loss"}


def draw(job: Job, outputs: Array | None, out: Console) -> None:
    """Draw a run's figures; `outputs` are those of the test part, if any. Without matplotlib, say how to install it."""
    figures: dict[Path, Draw] = {}
    if job.trainer.history.epochs:
        figures[job.run.plot] = lambda path: _losses(job, path)
    if outputs is not None and len(job.preparation.classes) > MOST_CLASSES:
        out.print(f"{job.run.confusion.name} not drawn: there are more than {MOST_CLASSES:,} classes")
    elif outputs is not None and job.preparation.classes:
        figures[job.run.confusion] = lambda path: _confusion(job, outputs, path)
    if outputs is not None and isinstance(job.preparation.target, Quantity):
        figures[job.run.predicted] = lambda path: _predicted(job, outputs, path)
    if isinstance(job.parts.data, Images) and job.trainer.steps:
        if outputs is not None:
            figures[job.run.samples] = lambda path: _samples(job, outputs, path)
        filters = first_filters(job)
        if filters is not None:
            figures[job.run.filters] = lambda path: _filters(job, filters, path)
    if not figures or not _has_matplotlib(job, ", ".join(path.name for path in figures), out):
        return
    for path, function in figures.items():
        with job.troubles.writing(path):
            try:
                write_whole(path, function)
            except (FileError, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001 - told, with an exit status: the run has all but a figure
                job.troubles.undrawn(str(path), error)


def _has_matplotlib(job: Job, names: str, out: Console) -> bool:
    """Whether figures can be drawn; says so otherwise."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # folders for its cache are not the user's concern
    try:
        from chainrule.inspect.text import import_matplotlib

        import_matplotlib()
        import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError:
        out.print(f"{names} not drawn: matplotlib is not installed: pip install matplotlib")
        return False
    except Exception as error:  # noqa: BLE001 - told likewise: settings or an installation that are broken
        job.troubles.undrawn(names, error)
        return False
    return True


def _title(job: Job) -> str:
    return f"{data_name(job.settings.data)} {job.settings.model}"


def first_filters(job: Job) -> Array | None:
    """The weights (kh, kw, c, o) of the first layer; those of a linear layer as pictures of whole images."""
    height, width, channels = job.preparation.input_shape
    weight = next((p.data for p in job.trainer.model.named_parameters().values() if p.ndim > 1), None)
    if weight is not None and weight.ndim == 4 and weight.shape[2] == channels and max(weight.shape[:2]) > 1:
        return weight
    if weight is not None and weight.ndim == 2 and len(weight) == height * width * channels:
        return weight.reshape(height, width, channels, -1)
    return None


def _losses(job: Job, path: Path) -> None:
    from chainrule.inspect.plots import save_losses

    loss = LOSS_WORDS[loss_name(job.settings, job.preparation.task)]
    if isinstance(job.preparation.target, Quantity):
        loss += f" of the standardized {job.preparation.target.column}"
    save_losses(job.trainer.history, path, _title(job), loss=loss, kept=_kept_epoch(job))


def _kept_epoch(job: Job) -> int | None:
    """The epoch, from 1, whose weights early stopping restored."""
    if job.settings.patience is None:
        return None
    losses = np.array(job.trainer.history["val_loss"])
    return None if np.isnan(losses).all() else int(np.nanargmin(losses)) + 1


def _confusion(job: Job, outputs: Array, path: Path) -> None:
    from chainrule.inspect.pictures import save_confusion

    y, classes = job.parts.y[job.test], job.preparation.classes
    title = f"{_title(job)}: confusion matrix of {count(len(y), f'test {row_word(job.preparation)}')}"
    save_confusion(metrics.confusion_matrix(outputs, y, classes=len(classes)), classes, path, title)


def _predicted(job: Job, outputs: Array, path: Path) -> None:
    from chainrule.inspect.plots import save_predictions

    target = job.preparation.target
    assert isinstance(target, Quantity)
    true, predicted = (target.scaling.undo(values)[:, 0] for values in (job.parts.y[job.test], outputs))
    title = f"{_title(job)}: {count(len(true), 'test row')}, R² {metrics.r2(predicted, true):.3f}"
    save_predictions(true, predicted, path, name=target.column, title=title)


def _samples(job: Job, outputs: Array, path: Path) -> None:
    from chainrule.inspect.pictures import save_samples

    assert isinstance(job.parts.data, Images)
    images, y = job.parts.data.take(job.test), job.parts.y[job.test]
    names, title = images.files, _title(job)
    if not names:
        names, title = tuple(f"index {row}" for row in job.test), f"{title}, index in the data from 0"
    save_samples(images.pixels, probabilities(outputs), y, job.preparation.classes, path, title=title, files=names)


def _filters(job: Job, filters: Array, path: Path) -> None:
    from chainrule.inspect.pictures import MOST_FILTERS, save_filters

    height, width, _, count = filters.shape
    shown = f", the first {MOST_FILTERS}" if count > MOST_FILTERS else ""
    save_filters(filters, path, f"{_title(job)}: {count:,} filters of {height} x {width} in the first layer{shown}")
