"""Tables as people have them, through the commands: names with commas, codes, classes called NA, seconds of a clock."""

from __future__ import annotations

import csv
import io
import re
import shlex
from pathlib import Path

import numpy as np
from tests.cli.outcome import Command

from chainrule.cli.config import read_config
from chainrule.cli.settings import Settings
from chainrule.train.metrics import mae, r2

SHORT = ("engine=reference", "model=mlp:8", "batch_size=16", "epochs=20", "lr=0.02")
RNG = np.random.default_rng(0)


def write_corners(path: Path, header: str, cells: list[str], between: str = "") -> None:
    """Rows around the corners of a square, of which each has its label."""
    lines = [header]
    for i in range(120):
        x, y = np.array([[0, 0], [4, 0], [0, 4], [4, 4]])[i % 4] + RNG.normal(0, 0.3, 2)
        lines.append(f"{x:.3f},{y:.3f},{between}{cells[i % len(cells)]}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def predictions(chainrule: Command, name: str) -> list[str]:
    return [row["prediction"] for row in csv.DictReader(io.StringIO(chainrule("predict", "latest", name).out))]


def test_labels_come_back_as_they_are_written(chainrule: Command, tmp_path: Path) -> None:
    for labels in (["1189234567890123456", "1189234567890123457"] * 2, ["007", "7", "1_1", "11"]):
        write_corners(tmp_path / "t.csv", "a,b,y", labels if labels[0] == "007" else [labels[0]] * 2 + [labels[1]] * 2)
        outcome = chainrule("train", "t.csv", "--target", "y", *SHORT)
        assert outcome.lines[-2] == "test accuracy: 1.0000", outcome
        wanted = [row["y"] for row in csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text()))]
        assert predictions(chainrule, "t.csv") == wanted
        assert chainrule("evaluate", "latest", "t.csv").lines[-1] == "accuracy: 1.0000"


def test_a_continent_called_na(chainrule: Command, tmp_path: Path) -> None:
    write_corners(tmp_path / "t.csv", "lat,lon,continent", ["NA", "EU", "AS", "AF"])
    outcome = chainrule("train", "t.csv", "--target", "continent", "--missing", "drop", *SHORT)
    assert outcome.status == 2
    advice = re.search(r"--na (\S+) says they are names, --na (\S+) says", outcome.err)
    assert advice is not None
    named, missing = (shlex.split(word)[0] for word in advice.groups())
    assert "4 classes" in chainrule("train", "t.csv", "--target", "continent", "--na", named, *SHORT).out
    assert set(predictions(chainrule, "t.csv")) == {"NA", "EU", "AS", "AF"}
    assert chainrule("evaluate", "latest", "t.csv").lines[-1] == "accuracy: 1.0000"
    outcome = chainrule("train", "t.csv", "--target", "continent", "--na", missing, "--missing", "drop", *SHORT)
    assert "3 classes" in outcome.out
    assert "t.csv: 30 of 120 rows are missing some value and are left out" in outcome.lines


def test_the_advice_on_columns_of_text_works_as_printed(chainrule: Command, tmp_path: Path) -> None:
    write_corners(tmp_path / "t.csv", 'a,b,"City, State",no,kind', ["p", "q"], between='"Springfield, XX",x,')
    outcome = chainrule("train", "t.csv", "--target", "kind", *SHORT)
    advice = shlex.split(outcome.err[outcome.err.index("--drop") :])
    assert advice == ["--drop", "City, State", "--drop", "no"]
    assert "t: 120 rows, 2 features" in chainrule("train", "t.csv", "--target", "kind", *advice, *SHORT).lines
    config = next((tmp_path / "runs").glob("*/config.yaml"))
    assert chainrule("train", "--config", config, *SHORT).status == 0
    assert "1 feature" in chainrule("train", "t.csv", "--target", "kind", *advice, "--drop", "a", *SHORT).out
    write_corners(tmp_path / "u.csv", "a,b,c,d,kind", ["p", "q"], between="x,y,")
    assert "2 features" in chainrule("train", "u.csv", "--target", "kind", "--drop", "c,d", *SHORT).out


def test_names_in_yaml_are_names(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        'data: t.csv\ntarget: yes\ndrop: [no, on, 007, 1e3, 2024-01-01, "null"]\nlr: 1e-2\nepochs: 3\nname: ~\n'
    )
    settings = Settings(**read_config(config))
    assert (settings.target, settings.drop) == ("yes", ("no", "on", "007", "1e3", "2024-01-01", "null"))
    assert (settings.lr, settings.epochs, settings.name) == (0.01, 3, None)


def test_a_shuffled_index_gives_nothing_away(chainrule: Command, tmp_path: Path) -> None:
    rows = "".join(f"{i},{RNG.normal():.3f},{'abc'[i // 40]}\n" for i in RNG.permutation(120))
    (tmp_path / "t.csv").write_text(",a,kind\n" + rows)
    outcome = chainrule("train", "t.csv", "--target", "kind", *SHORT)
    assert (
        't.csv: "unnamed 1" has no name, as row numbers have none, and is left out: --keep-index keeps it'
        in outcome.lines
    )
    assert "t: 120 rows, 1 feature" in outcome.lines
    outcome = chainrule("train", "t.csv", "--target", "kind", "--keep-index", *SHORT)
    assert "t: 120 rows, 2 features" in outcome.lines
    run = outcome.lines[-1].removeprefix("run: ")
    assert "keep_index: true" in (tmp_path / run / "config.yaml").read_text()


def test_predictions_have_all_digits(chainrule: Command, tmp_path: Path) -> None:
    a, b = RNG.normal(size=(2, 200))
    times = 1.7e9 + 600 * a - 300 * b
    rows = "".join(f"{x},{y},{t:.3f}\n" for x, y, t in zip(a, b, times, strict=True))
    (tmp_path / "t.csv").write_text("a,b,arrival\n" + rows)
    chainrule("train", "t.csv", "--target", "arrival", *SHORT)
    measured = chainrule("evaluate", "latest", "t.csv", "--all-rows").out
    predicted = np.array(predictions(chainrule, "t.csv"), float)
    assert f"{mae(predicted, np.round(times, 3)):.6g}" in measured
    assert f"{r2(predicted, np.round(times, 3)):.4f}" in measured
    assert len(set(predicted)) == 200
