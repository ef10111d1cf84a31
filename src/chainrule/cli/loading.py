"""Reading data for the commands: tables, images and texts by the same steps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from chainrule.cli import factory
from chainrule.cli.advice import as_options
from chainrule.cli.report import count, error_console, row_word
from chainrule.cli.run import data_name
from chainrule.cli.saved import Saved
from chainrule.cli.settings import FIELDS, LENGTH, LSTM, TOKENS, Settings
from chainrule.data.dataset import Dataset
from chainrule.data.images import Images, Reading, read_pictures
from chainrule.data.images.dataset import Told
from chainrule.data.images.picture import is_picture
from chainrule.data.limits import room, size_text
from chainrule.data.preparation import Parts, Preparation, prepare, prepare_images, prepare_text
from chainrule.data.sources import BUNDLED, default_target, load_data, load_table
from chainrule.data.split import Rows
from chainrule.data.tables import Table
from chainrule.data.tables.features import split_names
from chainrule.data.text import Text, Windows, Words, holds_text, load_text
from chainrule.data.text.inputs import TextInputs
from chainrule.errors import DataError, NonFiniteError, OptionError

LARGE = 128 * 128  # pixels: a step of small_cnn on 32 colour images takes 230 MB, and four times that at twice the side
LARGE_IMAGES = "images of this size take much memory and time: use --image-size 64 to shrink them"


def read_data(settings: Settings, out: Console) -> tuple[Settings, Preparation, Parts, str]:
    """Read the data, split and scale it; returns the settings with all defaults chosen, and the data's hash."""
    data = _load(settings, quiet=out.quiet)
    _check_options(settings, data)
    fingerprint = data.fingerprint()
    if isinstance(data, Text):
        tokens, length = settings.tokens or TOKENS, settings.length or LENGTH
        settings = dataclasses.replace(settings, tokens=tokens, length=length)
        preparation, parts = prepare_text(
            data, tokens=tokens, length=length, validation=settings.val_size, test=settings.test_size
        )
        _check_outputs(preparation, parts)
        target, lines = None, _text_lines(settings, data, parts)
    elif isinstance(data, Images):
        preparation, parts = prepare_images(
            data, validation=settings.val_size, test=settings.test_size, seed=settings.seed
        )
        target, lines = None, _image_lines(settings, data, preparation)
    else:
        assert isinstance(data, Table)
        target = settings.target or default_target(settings.data, data)
        preparation, parts = prepare(
            data,
            target,
            task=settings.task,
            drop=split_names(settings.drop, data),
            keep_index=settings.keep_index,
            missing=settings.missing,
            validation=settings.val_size,
            test=settings.test_size,
            seed=settings.seed,
        )
        lines = _table_lines(settings, target, preparation, parts.data.rows)
    notes = error_console() if out.quiet else out  # what was left out is told in any case
    for note in parts.notes:
        notes.print(as_options(note))
    for line in lines:
        out.print(line)
    sizes = [len(rows) for rows in (parts.split.train, parts.split.validation, parts.split.test)]
    word = row_word(preparation)
    out.print("{} for training, {:,} for validation, {:,} for testing".format(count(sizes[0], word), *sizes[1:]))
    model, said = factory.choose_network(settings, preparation)
    if said is not None:
        out.print(said)
    settings = dataclasses.replace(
        settings,
        model=model,
        target=target,
        task=preparation.task,
        loss=factory.loss_name(settings, preparation.task),
        lr=factory.learning_rate(settings),
        momentum=factory.momentum(settings),
    )
    return settings, preparation, parts, fingerprint


def read_more(
    found: Saved, sources: Sequence[str], *, resize: bool, broken: str | None, with_target: bool
) -> tuple[Dataset, str]:
    """Data for a trained run, in the form of its training data, without the rows it cannot use; and the data's hash.

    Several sources must be pictures.
    """
    preparation = found.preparation
    pictures = preparation.kind == "images"
    if len(sources) > 1 and not (pictures and all(is_picture(Path(source)) for source in sources)):
        raise OptionError(
            f"data: got {len(sources)} paths: several must all be picture files, else give one table or folder"
        )
    try:
        data = _read_alike(found, sources, resize=resize, broken=broken, labelled=with_target)
        return preparation.whole_rows(data, with_target=with_target), data.fingerprint()
    except DataError as error:  # "latest" may be another run than one thinks
        what = {"images": "images", "text": "text"}.get(preparation.kind, "a table")
        raise DataError(f"{error} (read for {found.run.folder}, which was trained on {what})") from None


def _read_alike(
    found: Saved, sources: Sequence[str], *, resize: bool, broken: str | None, labelled: bool
) -> Dataset:  # fmt: skip
    """A table, a text, or images in the form of the training images."""
    settings, preparation = found.settings, found.preparation
    if isinstance(preparation.inputs, TextInputs):
        return _windows(found, preparation.inputs, sources[0])
    if preparation.kind != "images":
        return load_table(sources[0], na=settings.na)
    height, width, channels = preparation.input_shape
    resize, broken = resize or settings.image_size is not None, broken or settings.broken
    with reading_bar() as told:
        options = Reading(height, width, channels, resize, broken, labelled, told)
        if len(sources) > 1:
            return read_pictures([Path(source) for source in sources], options)
        return load_data(sources[0], options, images=True, data_dir=settings.data_dir)


def _windows(found: Saved, inputs: TextInputs, source: str) -> Windows:
    """A text in windows; the training text in its parts, another one whole."""
    text, settings = load_text(source, found.settings.data_dir), found.settings
    own = text.fingerprint() == found.fingerprint
    sizes = {"validation": settings.val_size, "test": settings.test_size} if own else {"validation": 0.0, "test": 0.0}
    return Windows.of(text, inputs.vocabulary, inputs.length, **sizes)


def _load(settings: Settings, *, quiet: bool) -> Dataset | Text:
    """The data, as images or a text if it is one or the network takes nothing else."""
    table = settings.target is not None or settings.data in BUNDLED
    if holds_text(settings.data) or (factory.takes_text(settings.model) and not table):
        return load_text(settings.data, settings.data_dir)
    height, width = settings.height_and_width or (None, None)
    images = True if factory.takes_images(settings.model) else None
    if images is None and settings.target is not None and settings.data.endswith(".npz"):
        images = False  # a target column means a table
    with reading_bar(quiet=quiet) as told:
        options = Reading(height, width, resize=height is not None, broken=settings.broken, told=told)
        return load_data(settings.data, options, images=images, data_dir=settings.data_dir, na=settings.na)


KINDS = {"table": "a table", "images": "images, which have classes but no columns", "text": "a text"}


def _check_options(settings: Settings, data: Dataset | Text) -> None:
    """OptionError for a setting that does not apply to this kind of data."""
    kind = "images" if isinstance(data, Images) else "text" if isinstance(data, Text) else "table"
    takes = "images" if factory.takes_images(settings.model) else "text" if factory.takes_text(settings.model) else kind
    fits = takes == kind or (kind == "table" and takes == "images" and settings.data in BUNDLED)
    if not fits or (kind == "text" and settings.model is not None and not factory.takes_text(settings.model)):
        other = LSTM if kind == "text" else "mlp:64,64"
        raise OptionError(
            f"model: {settings.model} does not take this data, {settings.data} is {KINDS[kind]}: use --model {other}"
        )
    tasks = {"text": ("generate",), "images": ("classify",), "table": ("classify", "regress")}[kind]
    if settings.task is not None and settings.task not in tasks:
        raise OptionError(f"task: {settings.task} does not apply, {settings.data} is {KINDS[kind]}: leave it out")
    for name in sorted(factory.foreign_settings(kind)):
        if getattr(settings, name) not in (None, (), False, FIELDS[name].default):
            raise OptionError(f"{name}: does not apply, {settings.data} is {KINDS[kind]}: leave it out")


def _check_outputs(preparation: Preparation, parts: Parts) -> None:
    """OptionError if the outputs for a part, which is measured at once, take more memory than is free."""
    windows = max(len(parts.split.validation), len(parts.split.test))
    size, most = 4 * windows * math.prod(preparation.output_shape), room()
    if size > most:
        raise OptionError(
            f"data: the outputs for {windows:,} windows of {preparation.outputs:,} tokens take {size_text(size)}, at "
            f"most {size_text(most)} are used, a quarter of the free memory: use a smaller --val-size and --test-size, "
            "a part of the text, or --tokens characters"
        )


def _text_lines(settings: Settings, text: Text, parts: Parts) -> list[str]:
    windows: Windows = parts.data
    unit = windows.vocabulary.unit
    cut = f"{len(windows.tokens):,} {unit}s, {len(windows.vocabulary):,} different" if unit != "byte" else ""
    lines = [f"{data_name(settings.data)}: {cut or f'{len(windows.tokens):,} bytes'}, in windows of {windows.length}"]
    unknown = (windows.tokens == 0).mean() if isinstance(windows.vocabulary, Words) else 0.0
    if unknown:
        lines.append(f"{unknown:.1%} of the words are rare or not in the training part, and read as unknown")
    return lines


def _table_lines(settings: Settings, target: str, preparation: Preparation, rows: int) -> list[str]:
    kind = f"{len(preparation.classes)} classes" if preparation.classes else "numeric"
    inferred = "" if settings.task else ", inferred from its values"
    return [
        f"{data_name(settings.data)}: {count(rows, 'row')}, {count(preparation.input_shape[0], 'feature')}",
        f"target {target}: {kind} (--task {preparation.task}{inferred})",
        *([] if preparation.classes else ["the loss is that of the standardized target, the MAE is in its own units"]),
    ]


def _image_lines(settings: Settings, images: Images, preparation: Preparation) -> list[str]:
    height, width, channels = preparation.input_shape
    kinds = {1: "grey", 3: "RGB", 4: "RGBA"}
    order = "" if height == width else " (height x width)"
    size = f"{height} x {width} pixels{order}, {kinds.get(channels, f'{channels} channels')}"
    large = [LARGE_IMAGES] if settings.image_size is None and height * width > LARGE else []
    line = f"{data_name(settings.data)}: {images.rows:,} images of {size}, {len(preparation.classes)} classes"
    return [line, *_part_lines(settings, images), *large]


def _part_lines(settings: Settings, images: Images) -> list[str]:
    """Where the parts of images come from that have some of their own; those of a folder have names already."""
    if not images.files:
        last = images.test and settings.test_size > 0
        return [f"the test part is the last {images.test:,} images, as the data defines it"] if last else []
    wanted = {"validation": (images.validation, settings.val_size), "test": (images.test, settings.test_size)}
    drawn = [name for name, (own, size) in wanted.items() if not own and size > 0]
    return [f"{name} images are drawn from the training part" for name in drawn] if len(drawn) < 2 else []


@contextmanager
def naming_rows(data: Dataset, rows: Rows | None = None) -> Iterator[None]:
    """Name the row, or the picture's file, in an error about an output that is not finite.

    `rows` are those of the data that are being used; all of them by default.
    """
    try:
        yield
    except NonFiniteError as error:
        if error.row is None:
            raise
        row = error.row if rows is None else int(rows[error.row])
        raise NonFiniteError(
            f"{data.where(row)}: the network's output or its loss is {error.value}: the row's values are far from the "
            "training data: correct them, or remove the row",
            row=row,
            value=error.value,
        ) from None


@contextmanager
def reading_bar(*, quiet: bool = False, console: Console | None = None) -> Iterator[Told | None]:
    """A progress bar for reading many pictures; yields its callback, or None when `quiet` or not on a terminal."""
    console = console or Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", visible=False)  # until pictures are read: it may be a table

        def tell(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total, visible=True)

        yield tell
