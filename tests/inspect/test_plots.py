"""Pictures are made, whatever the history holds."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("matplotlib")

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
