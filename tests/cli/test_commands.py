"""The commands, on the reference engine and small tables."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from tests.cli.outcome import QUICK, Command, train

from chainrule.data import split_rows

FEW = ("engine=reference", "model=mlp:8", "batch_size=16", "epochs=30", "lr=0.02")


def test_classes_of_text(chainrule: Command, flowers: Path) -> None:
    outcome = chainrule("train", flowers, "--target", "kind", *FEW)
    assert outcome.status == 0, outcome.err
    assert "target kind: 3 classes (--task classify, inferred from its values)" in outcome.lines
    assert "63 rows for training, 9 for validation, 18 for testing" in outcome.lines
    assert outcome.lines[-2] == "test accuracy: 1.0000"
    assert "epoch 30/30" in outcome.err


def test_a_quantity(chainrule: Command, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    price = 1e5 + 3e4 * x[:, 0] - 2e4 * x[:, 1]
    rows = "".join(f"{a},{b},{p}\n" for (a, b), p in zip(x, price, strict=True))
    (tmp_path / "t.csv").write_text("a,b,price\n" + rows)
    outcome = chainrule(
        "train", "t.csv", "--target", "price", "model=linear", "epochs=60", "lr=0.05", "engine=reference"
    )
    assert outcome.lines[-2] == "test r2: 1.0000"
    folder = tmp_path / outcome.lines[-1].removeprefix("run: ")
    assert {path.name for path in folder.glob("*.png")} == {"loss.png", "predicted.png"}
    assert "the loss is that of the standardized target, the MAE is in its own units" in outcome.lines
    predicted = chainrule("predict", "latest", "t.csv").lines
    assert predicted[0] == "prediction"
    found = np.array(predicted[1:], float)
    np.testing.assert_allclose(found, price, rtol=0.01)
    run = Path(outcome.lines[-1].removeprefix("run: "))
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    rows = split_rows(200, validation=0.1, test=0.2, seed=0).validation
    assert last["val_mae"] == pytest.approx(np.abs(found - price)[rows].mean(), rel=0.01)
    assert f"val_mae {last['val_mae']:.4g}" in outcome.err.splitlines()[-1]


def test_predictions(chainrule: Command, flowers: Path, tmp_path: Path) -> None:
    run = train(chainrule, flowers, "--target", "kind", *FEW)
    text = chainrule("predict", run, flowers).out
    rows = list(csv.DictReader(io.StringIO(text)))
    truth = [line.split(",")[2] for line in flowers.read_text().splitlines()[1:]]
    assert [row["prediction"] for row in rows] == truth
    assert list(rows[0]) == ["prediction", "probability iris", "probability rose", "probability tulip"]
    for row in rows:
        shares = [float(row[f"probability {name}"]) for name in ("iris", "rose", "tulip")]
        assert sum(shares) == pytest.approx(1, abs=1e-5)
    (tmp_path / "x.csv").write_text("height,width\n-1.02,0.98\n")  # other order, no target
    assert chainrule("predict", "latest", "x.csv", "--out", "p.csv").status == 0
    assert (tmp_path / "p.csv").read_text().splitlines()[1].startswith("rose,")


def test_evaluate_counts_rows_never_trained_on(chainrule: Command, flowers: Path, tmp_path: Path) -> None:
    run = train(chainrule, flowers, "--target", "kind", *QUICK)
    results = json.loads((run / "results.json").read_text())
    for data in ([], [flowers]):
        outcome = chainrule("evaluate", run, *data)
        assert "flowers: the 18 test rows of 90; the others were used in training" in outcome.lines
        assert outcome.lines[-1] == f"accuracy: {results['test']['accuracy']:.4f}"
    every = "flowers: 90 rows, including those it was trained on"
    assert every in chainrule("evaluate", run, "--all-rows").lines
    untested = train(chainrule, flowers, "--target", "kind", "test_size=0", *QUICK)
    assert every in chainrule("evaluate", untested).lines
    (tmp_path / "new.csv").write_text("\n".join(flowers.read_text().splitlines()[:13]) + "\n")
    assert "new: 12 rows" in chainrule("evaluate", run, "new.csv").lines
    flowers.write_text("\n".join(flowers.read_text().splitlines()[:50]))
    assert "changed since" in chainrule("evaluate", run).err


def test_info(chainrule: Command, flowers: Path) -> None:
    run = train(chainrule, flowers, "--target", "kind", *QUICK)
    outcome = chainrule("info")
    assert outcome.lines[0] == f"run: {run}"
    for words in ("Linear", "total", "51", "batch_size", "mlp:8", "ended after 3 epochs: finished", "test accuracy:"):
        assert words in outcome.out, words


def test_wrong_settings_are_named_before_the_table_is_read(chainrule: Command) -> None:
    for word, message in (("model=rnn", "model:"), ("schedule=step", "schedule:"), ("momentum=0.5", "momentum:")):
        outcome = chainrule("train", "digits", word)
        assert (outcome.status, outcome.out) == (2, "")
        assert outcome.err.startswith(f"chainrule: {message}")


def test_a_config_trains_the_same_network_again(chainrule: Command, flowers: Path) -> None:
    first = train(chainrule, flowers, "--target", "kind", "dropout=0.3", "threads=1", *QUICK)
    again = train(chainrule, "--config", first / "config.yaml", "threads=2")
    assert first != again
    assert (first / "model.safetensors").read_bytes() == (again / "model.safetensors").read_bytes()
    other = train(chainrule, "--config", first / "config.yaml", "seed=1")
    assert (first / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()
    assert yaml.safe_load((other / "config.yaml").read_text())["seed"] == 1


@pytest.mark.parametrize(
    "settings",
    [
        ("optimizer=sgd", "momentum=0.5", "schedule=step:1,0.5"),
        ("optimizer=rmsprop", "schedule=exponential:0.9"),
        ("optimizer=adagrad", "schedule=plateau:1"),
        ("optimizer=adamw", "weight_decay=0.01", "schedule=one-cycle"),
        ("optimizer=adam", "schedule=cosine:0.1", "warmup_epochs=1"),
        ("activation=tanh", "dropout=0.1", "clip_norm=1"),
        ("activation=gelu", "model=mlp:8,8,8", "patience=1"),
        ("model=linear", "schedule=constant", "val_size=0"),
        ("test_size=0", "name=my run"),
    ],
)
def test_settings(chainrule: Command, flowers: Path, settings: tuple[str, ...]) -> None:
    run = train(chainrule, flowers, "--target", "kind", *QUICK, *settings)
    kept = yaml.safe_load((run / "config.yaml").read_text())
    for setting in settings:
        key, value = setting.split("=")
        assert str(kept[key]) in (value, f"{value}.0")


def test_the_data_may_come_after_settings(chainrule: Command, flowers: Path) -> None:
    flowers.rename("-x.csv")
    train(chainrule, "--target", "kind", *QUICK, "--", "-x.csv")


def test_missing_values(chainrule: Command, flowers: Path) -> None:
    flowers.write_text(flowers.read_text() + ",0.1,rose\n")
    outcome = chainrule("train", flowers, "--target", "kind", "--missing", "drop", *QUICK)
    assert f"{flowers}: 1 of 91 rows are missing some value and are left out" in outcome.lines
    assert chainrule("evaluate", "latest").status == 0
    assert chainrule("train", flowers, "--target", "kind", "--missing", "mean", *QUICK).status == 0
    assert len(chainrule("predict", "latest", flowers).lines) == 92


def test_without_matplotlib_the_run_goes_on(chainrule: Command, flowers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    outcome = chainrule("train", flowers, "--target", "kind", *QUICK)
    assert outcome.status == 0
    assert "loss.png, confusion.png not drawn: matplotlib is not installed: pip install matplotlib" in outcome.lines
    assert outcome.lines[-1].startswith("run: ")


def test_quiet(chainrule: Command, flowers: Path) -> None:
    outcome = chainrule("train", flowers, "--target", "kind", "--quiet", *QUICK)
    assert len(outcome.lines) == 2
    assert outcome.err == ""


def test_quiet_still_tells_what_was_left_out(chainrule: Command, flowers: Path) -> None:
    rows = flowers.read_text().splitlines()
    rows = [f"id,{rows[0]}", *(f"{i},{row}" for i, row in enumerate(rows[1:]))]
    flowers.write_text("\n".join(rows))
    outcome = chainrule("train", flowers, "--target", "kind", "--quiet", *QUICK)
    assert len(outcome.lines) == 2
    assert outcome.err == f'{flowers}: "id" numbers the rows and is left out: --keep-index keeps it\n'


def test_runs_of_one_second_have_folders_of_their_own(
    chainrule: Command, flowers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.strftime", lambda form: "20260131-120000")
    runs = [train(chainrule, flowers, "--target", "kind", *QUICK) for _ in range(2)]
    assert [r.name for r in runs] == ["20260131-120000-flowers", "20260131-120000-flowers-2"]
    assert chainrule("info", "latest").lines[0] == f"run: {runs[1]}"


@pytest.mark.parametrize("command", [[], ["train"], ["evaluate"], ["predict"], ["info"], ["warmup"]])
def test_help_has_examples(chainrule: Command, command: list[str]) -> None:
    outcome = chainrule(*command, "--help")
    assert outcome.status == 0
    assert f"chainrule {' '.join(command)}".strip() in outcome.out
    assert "xample" in outcome.out or not command


@pytest.mark.parametrize("command", [[], ["train"], ["evaluate"], ["predict"], ["info"]])
def test_help_names_what_is_taken_without_types_of_python(chainrule: Command, command: list[str]) -> None:
    out = chainrule(*command, "--help").out
    assert "<" not in out
    assert "[bool]" not in out
    if command == ["train"]:
        assert "[DATA] [key=value]..." in out
        for option, taken in (
            ("image-size", "SIZE"),
            ("memory-limit", "SIZE"),
            ("target", "COLUMN"),
            ("out", "FOLDER"),
        ):
            assert re.search(rf"--{option} +{taken} ", out)
        assert re.search(r"--quiet +-q +Print", out)


def test_no_command_is_a_call_for_help(chainrule: Command, tmp_path: Path) -> None:
    outcome = chainrule()
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out == chainrule("--help").out
    done = subprocess.run([sys.executable, "-m", "chainrule"], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "Usage: chainrule [OPTIONS] COMMAND" in done.stdout


def test_help_and_mistakes_load_neither_engine_nor_matplotlib(tmp_path: Path) -> None:
    code = (
        "import sys; from chainrule.cli.main import main; main(sys.argv[1:]);"
        "print([m for m in ('numba', 'llvmlite', 'matplotlib', 'polars', 'chainrule.engine') if m in sys.modules])"
    )
    for arguments in (["--help"], ["train", "--help"], ["train", "digits", "--lr", "nan"]):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=tmp_path)
        assert done.stdout.splitlines()[-1] == "[]"


def test_warmup_compiles_the_updates_of_every_optimizer(chainrule: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    found: set[str] = set()
    monkeypatch.setattr("chainrule.native.load.address", lambda code, dtype: found.add(code.name))
    assert chainrule("warmup").lines[-1].endswith("kernels are ready")
    assert {"sgd", "sgd_nesterov", "adam", "adamw", "check_adam", "check_adamw"} <= found


def test_version(chainrule: Command) -> None:
    import chainrule as package

    assert chainrule("--version").lines == [f"chainrule {package.__version__}"]


def test_where_memory_runs_out_the_mends_are_named(chainrule: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def large(*arguments: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr("chainrule.cli.loading.load_data", large)
    outcome = chainrule("train", "digits")
    assert outcome.status == 1
    assert outcome.err.startswith("chainrule: out of memory: ")
    assert outcome.err.count("\n") == 1
    for mend in ("--batch-size", "--image-size", "--model", "less data", "--memory-limit"):
        assert mend in outcome.err


def test_our_own_mistakes_are_one_line(chainrule: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("chainrule.cli.loading.load_data", broken)
    outcome = chainrule("train", "digits")
    assert outcome.status == 1
    assert outcome.err.startswith(
        "chainrule: internal error: ZeroDivisionError: a bug: please report it, with the traceback"
    )
    assert outcome.err.count("\n") == 1
    monkeypatch.setenv("CHAINRULE_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        chainrule("train", "digits")


def test_outputs_that_are_not_finite_name_the_row_of_the_table(
    chainrule: Command, flowers: Path, tmp_path: Path
) -> None:
    run = train(chainrule, flowers, "--target", "kind", *FEW)
    lines = flowers.read_text().splitlines()
    (tmp_path / "far.csv").write_text("\n".join([*lines[:5], "-2.5e38,2.5e38,rose", *lines[5:]]) + "\n")
    for command in (["evaluate", run, "far.csv"], ["predict", run, "far.csv", "--out", "p.csv"]):
        outcome = chainrule(*command)
        assert outcome.status == 1
        assert re.match(
            r"chainrule: far.csv: row 5: the network's output or its loss is (inf|nan): the row's values", outcome.err
        )
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_training_names_the_row_whose_output_is_not_finite(chainrule: Command, flowers: Path, part: str) -> None:
    lines = flowers.read_text().splitlines()
    flowers.write_text("\n".join([*lines[:5], "-2.5e38,2.5e38,rose", *lines[5:]]) + "\n")
    classes = np.unique([line.split(",")[2] for line in flowers.read_text().splitlines()[1:]], return_inverse=True)[1]
    splits = [split_rows(91, validation=0.1, test=0.2, seed=seed, classes=classes) for seed in range(60)]
    seed = next(seed for seed, split in enumerate(splits) if 4 in getattr(split, part))
    outcome = chainrule("train", flowers, "--target", "kind", "--seed", seed, *FEW)
    assert outcome.status == 1
    message = outcome.err.splitlines()[-1]
    assert message.startswith(f"chainrule: {flowers}: row 5: the network's output or its loss is ")
    assert message.removeprefix("chainrule: ") in chainrule("info", next(Path("runs").iterdir())).out
    assert not list(Path("runs").glob("*/*.png"))


def test_rows_are_numbered_as_in_the_file_when_some_are_left_out(
    chainrule: Command, flowers: Path, tmp_path: Path
) -> None:
    run = train(chainrule, flowers, "--target", "kind", "--missing", "drop", *FEW)
    lines = flowers.read_text().splitlines()
    for bad, words in (
        ("-2.5e38,2.5e38,rose", "far.csv: row 5: the network's output"),
        ("0.1,0.2,orchid", 'far.csv: column "kind", row 5: "orchid" is not one'),
        ("1e39,0.2,rose", 'far.csv: column "width", row 5: 1e+39 is'),
    ):
        (tmp_path / "far.csv").write_text("\n".join([lines[0], ",0.1,rose", *lines[1:4], bad, *lines[4:]]) + "\n")
        assert words in chainrule("evaluate", run, "far.csv").err


@pytest.mark.parametrize(("seed", "part"), [(1, "validation"), (12, "test")])
def test_training_names_the_row_of_the_table_too(
    chainrule: Command, flowers: Path, tmp_path: Path, seed: int, part: str
) -> None:
    lines = flowers.read_text().splitlines()
    (tmp_path / "far.csv").write_text("\n".join([*lines[:6], "-2.5e38,2.5e38,rose", *lines[6:]]) + "\n")
    outcome = chainrule("train", "far.csv", "--target", "kind", *FEW, f"seed={seed}")
    assert outcome.status == 1
    assert "chainrule: far.csv: row 6: the network's output or its loss is" in outcome.err
    (run,) = (tmp_path / "runs").iterdir()
    results = json.loads((run / "results.json").read_text())
    assert results["ended"].startswith("failed: far.csv: row 6")
    assert (results["epochs"] == 30) == (part == "test")  # validation comes after each epoch
    assert results["test"] is None
