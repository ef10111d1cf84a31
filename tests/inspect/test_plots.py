"""Pictures are made, whatever the history holds."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

from matplotlib.figure import Figure

from chainrule.inspect.plots import save_losses


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


@pytest.mark.parametrize(("epochs", "marker"), [(1, "o"), (2, "None")])
def test_one_epoch_is_a_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epochs: int, marker: str) -> None:
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *arguments, **options: drawn.append(figure))
    save_losses({"loss": [1.0] * epochs, "val_loss": [0.9] * epochs, "lr": [0.1] * epochs}, tmp_path / "loss.png")
    assert {line.get_marker() for axis in drawn[0].axes for line in axis.lines} == {marker}
