"""Pictures are made, whatever the history holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

from chainrule.errors import NonFiniteError, ShapeError
from chainrule.inspect.plots import save_losses, save_predictions


@pytest.mark.parametrize(
    "history",
    [
        {"loss": [1.0]},
        {"loss": [1.0, 0.5], "val_loss": [1.1, 0.6], "val_accuracy": [0.5, 0.7], "lr": [0.1, 0.1]},
        {"loss": [100.0, 1e-3, 0.0], "val_loss": [float("nan")] * 3},
        {},
    ],
)
def test_losses(tmp_path: Path, history: dict[str, list[float]]) -> None:
    save_losses(history, tmp_path / "loss.png", "digits")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_metrics_of_different_units_have_panels_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *arguments, **options: drawn.append(figure))
    save_losses({"loss": [1.0], "val_loss": [1.1], "val_mae": [2e5], "val_r2": [0.5]}, tmp_path / "loss.png")
    assert [axis.get_ylabel() for axis in drawn[0].axes] == ["loss", "validation R²", "validation MAE"]


def test_the_axis_of_losses_names_the_loss_its_scale_and_the_epoch_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *arguments, **options: drawn.append(figure))
    for last in (0.5, 0.01):
        history = {"loss": [1.0] * 39 + [last], "val_loss": [1.0] * 40}
        save_losses(history, tmp_path / "loss.png", loss="MSE of the standardized $x$", kept=7)
    assert [figure.axes[0].get_yscale() for figure in drawn] == ["linear", "log"]
    labels = [figure.axes[0].get_ylabel() for figure in drawn]
    assert labels == ["MSE of the standardized $x$", "MSE of the standardized $x$ (logarithmic)"]
    legend = drawn[0].axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "training, mean during the epoch",
        "validation, after the epoch",
        "weights kept: epoch 7",
    ]
    assert drawn[0].axes[0].get_xlim() == (1, 40)


def test_predictions_against_true_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda figure, *args, **more: drawn.append(figure) or save(figure, *args, **more)
    )
    path = tmp_path / "predicted.png"
    save_predictions([1.0, 2.0, 4.0], [1.5, 2.0, 3.0], path, name="a$b$", title="$t$")
    assert path.read_bytes().startswith(b"\x89PNG")
    (axis,) = drawn[0].axes
    assert np.asarray(axis.collections[0].get_offsets()).tolist() == [[1.0, 1.5], [2.0, 2.0], [4.0, 3.0]]
    assert (axis.get_xlabel(), axis.get_ylabel(), drawn[0].get_suptitle()) == ("true a$b$", "predicted a$b$", "$t$")
    save_predictions([1.0], [1.0], path)


def test_predictions_that_cannot_be_drawn(tmp_path: Path) -> None:
    path = tmp_path / "predicted.png"
    for true, predicted in (([1.0], [1.0, 2.0]), ([[1.0]], [[1.0]]), ([], [])):
        with pytest.raises(ShapeError, match="expected"):
            save_predictions(true, predicted, path)
    with pytest.raises(NonFiniteError, match="predicted: row 1 is nan"):
        save_predictions([1.0, 2.0], [1.0, np.nan], path)
    assert not path.exists()


@pytest.mark.parametrize(("epochs", "marker"), [(1, "o"), (2, "None")])
def test_one_epoch_is_a_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int, marker: str) -> None:
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *arguments, **options: drawn.append(figure))
    save_losses({"loss": [1.0] * epochs, "val_loss": [0.9] * epochs, "lr": [0.1] * epochs}, tmp_path / "loss.png")
    assert {line.get_marker() for axis in drawn[0].axes for line in axis.lines} == {marker}
