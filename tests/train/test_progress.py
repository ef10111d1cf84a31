"""Progress goes to stderr: a bar on a terminal, about twenty lines elsewhere, nothing when silent."""

from __future__ import annotations

import io
import re
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console
from tests import patience

import chainrule as cr
from chainrule import nn, optim
from chainrule.train import EarlyStopping, Trainer, progress
from chainrule.train.progress import LiveBar, PlainLines, fit_line, make_progress

X = np.random.default_rng(0).normal(size=(12, 2))
Y = X[:, :1]


class EachStep:
    """An observer of single steps: each is a stretch of its own, then."""

    def on_step(self, step, loss):
        pass


def trainer():
    cr.seed(0)
    return Trainer(nn.Linear(2, 1), nn.MSELoss(), optim.SGD(lr=0.01), engine="reference")


def test_verbose_chooses(monkeypatch):
    assert make_progress(0) is None
    assert make_progress(None) is None  # stderr is no terminal under test
    assert isinstance(make_progress(1), PlainLines)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert isinstance(make_progress(None), LiveBar)
    assert isinstance(make_progress(1), LiveBar)
    assert make_progress(0) is None


def test_the_library_is_silent_where_there_is_no_terminal(capfd):
    trainer().fit(X, Y, epochs=3)
    assert capfd.readouterr() == ("", "")


def test_few_epochs_are_a_line_each(capfd):
    trainer().fit(X, Y, epochs=3, verbose=1, validation_data=(X, Y))
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert all("loss " in line and "val_loss " in line and "val_r2 " in line for line in lines)
    assert lines[0].endswith("s")


def test_a_long_epoch_is_told_of_on_the_way(monkeypatch):
    monkeypatch.setattr(progress, "SILENCE", -1.0)
    stream = io.StringIO()
    trainer().fit(X, Y, epochs=2, batch_size=1, callbacks=[PlainLines(stream), EachStep()])
    lines = stream.getvalue().splitlines()
    assert any(re.fullmatch(r"epoch 1/2  step \d+/12  loss [\d.e-]+", line) for line in lines)
    assert sum("step" not in line for line in lines) == 2


def test_many_epochs_are_about_twenty_lines_and_the_last_is_among_them():
    stream = io.StringIO()
    trainer().fit(X, Y, epochs=500, callbacks=[PlainLines(stream)])
    lines = stream.getvalue().splitlines()
    assert 2 <= len(lines) <= 23
    assert lines[-1].startswith("epoch 500/500")


def test_an_early_end_is_told():
    stream = io.StringIO()
    stopping = EarlyStopping(patience=1, monitor="loss", min_delta=1e6)
    trainer().fit(X, Y, epochs=500, callbacks=[stopping, PlainLines(stream)])
    assert stream.getvalue().splitlines()[-1].startswith("stopped after 2 epochs: loss has not improved for an epoch")


@pytest.mark.parametrize("epochs", [0, 1, 40])
def test_the_bar_ends_at_its_end(epochs):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=150)
    trainer().fit(X, Y, epochs=epochs, batch_size=5, callbacks=[LiveBar(console)])
    assert f"epoch {epochs}/{epochs}" in stream.getvalue()
    if epochs:
        assert "loss " in stream.getvalue()
        assert "steps/s" in stream.getvalue()


PARTS = {
    "bar": "━{8,}",
    "time": r"\d\d:\d\d",
    "loss": r" loss \d\S*",
    "val_loss": r" val_loss \d\S*",
    "val_accuracy": r" val_accuracy \d\S*",
    "speed": r"[\d,]+ steps/s",
}


@pytest.mark.parametrize(
    ("width", "missing"),
    [
        (120, set()),
        (80, {"speed"}),
        (60, {"speed", "bar", "time"}),
        (40, {"speed", "bar", "time", "val_accuracy"}),
        (26, {"speed", "bar", "time", "val_accuracy", "val_loss"}),
    ],
)
def test_narrow_terminals_lose_the_least_important_parts(width, missing):
    stream = io.StringIO()
    bar = LiveBar(Console(file=stream, force_terminal=True, width=width))
    cr.seed(0)
    run = Trainer(nn.Linear(2, 2), nn.CrossEntropyLoss(), optim.SGD(lr=0.1), engine="reference")
    run.fit(X, (Y[:, 0] > 0).astype(int), epochs=12, validation_data=(X[:4], [0, 1, 1, 0]), callbacks=[bar])
    text = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", stream.getvalue())  # without colours and movements
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    assert max(map(len, lines)) <= width
    assert "…" not in text
    assert lines[-1].startswith("epoch 12/12 ")
    assert {name for name, pattern in PARTS.items() if not re.search(pattern, lines[-1])} == missing, lines[-1]


def test_what_is_shown_fits():
    lengths = {"loss": 11, "val_loss": 15}
    for width in range(10, 160):
        line = fit_line(width, 12, lengths, 14)
        texts = (
            [lengths[name] for name in line.metrics] + [7] * line.time + [line.bar] * (line.bar > 0) + [14] * line.speed
        )
        assert 12 + sum(1 + length for length in texts) <= max(width, 12)
        assert line.bar == 0 or 8 <= line.bar <= 24


def test_the_bar_tells_an_early_end_and_leaves_the_cursor_shown():
    stream = io.StringIO()
    run = trainer()
    bar = LiveBar(Console(file=stream, force_terminal=True, width=150))
    run.fit(X, Y, epochs=50, callbacks=[lambda epoch, history: run.stop("enough"), bar])
    assert "stopped after 1 epoch: enough" in stream.getvalue()
    assert stream.getvalue().rfind("\x1b[?25h") > stream.getvalue().rfind("\x1b[?25l")


def test_rich_is_loaded_for_a_bar_only():
    code = """
import sys, numpy as np
import chainrule as cr
from chainrule import nn, optim
t = cr.Trainer(nn.Linear(2, 1), nn.MSELoss(), optim.SGD(), engine="reference")
t.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=2, verbose=1)
assert not {"rich", "typer", "matplotlib", "numba"} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=patience.SECONDS, stderr=subprocess.DEVNULL)
