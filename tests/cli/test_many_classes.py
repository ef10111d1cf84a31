"""Thousands of classes: no step takes the square of their number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chainrule.cli import figures
from chainrule.cli.main import main
from chainrule.cli.report import measure
from chainrule.data import Table, prepare
from chainrule.train.metrics import confusion_matrix


def test_measures_are_those_of_the_confusion_matrix() -> None:
    rng = np.random.default_rng(0)
    table = Table("t", {"a": rng.normal(size=60), "y": [f"c{i % 5}" for i in range(60)]})
    preparation, parts = prepare(table, "y", validation=0.0)
    outputs = rng.normal(size=(60, 5)).astype(np.float32)
    results, matrix = measure(preparation, outputs, parts.y), confusion_matrix(outputs, parts.y)
    hits = np.diag(matrix)
    np.testing.assert_array_equal([row["rows"] for row in results["classes"]], matrix.sum(axis=1))
    np.testing.assert_allclose([row["recall"] for row in results["classes"]], hits / matrix.sum(axis=1))
    np.testing.assert_allclose([row["precision"] for row in results["classes"]], hits / matrix.sum(axis=0))


def test_a_matrix_of_too_many_classes_is_not_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, "MOST_CLASSES", 2)
    Path("t.csv").write_text("\n".join(["a,b,y", *(f"{i % 7},{i * 0.5},{'pqr'[i % 3]}" for i in range(60))]))
    assert main("train t.csv --target y --model linear --epochs 1 --engine reference".split()) == 0
    assert "confusion.png not drawn: there are more than 2 classes" in capsys.readouterr().out
    assert not list(tmp_path.glob("runs/*/confusion.png"))
