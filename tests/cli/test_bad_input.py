"""Every mistake a user can make ends in one clear line and exit status 2, with nothing half-written."""

from __future__ import annotations

import importlib
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.outcome import QUICK, Command, Outcome

GOOD = "a,b,y\n" + "".join(f"{i * 0.5},{-i},{i % 2}\n" for i in range(20))

# File, its content, the command's arguments after `train`, and words of the message.
TABLES: dict[str, tuple[str, str, list[str], str]] = {
    "empty table": ("t.csv", "", ["--target", "y"], "the file is empty"),
    "header only": ("t.csv", "a,b,y\n", ["--target", "y"], "a header but no rows"),
    "ragged row": ("t.csv", GOOD + "1,2\n", ["--target", "y"], "row 21 (line 22) has 2 values, the header has 3"),
    "no header": ("t.csv", "1,2,0\n3,4,1\n", ["--target", "y"], "the first line holds numbers only"),
    "binary file": ("t.csv", "a,b\n\udcff\udcfe,1\n", ["--target", "y"], "is not UTF-8 text"),
    "not gzip": ("t.csv.gz", GOOD, ["--target", "y"], "damaged or cut short"),
    "not parquet": ("t.parquet", GOOD, ["--target", "y"], "not a Parquet table"),
    "not npz": ("t.npz", GOOD, [], "not a readable NumPy archive"),
    "unknown format": ("t.docx", GOOD, ["--target", "y"], "is not a known table format"),
    "missing column": ("t.csv", GOOD, ["--target", "Y2"], 'there is no column "Y2": did you mean "y"?'),
    "no target named": ("t.csv", GOOD, [], "no target column given: name it with --target COLUMN"),
    "columns of text": (
        "t.csv",
        "a,b,c,y\n" + "1,x,z,0\n2,x,z,1\n" * 9,
        ["--target", "y"],
        'column "b", row 1: "x" is text, expected a number: write it as a number, or leave the columns of text out '
        "with --drop b --drop c",
    ),
    "text in numbers": ("t.csv", GOOD + "red,2,1\n", ["--target", "y"], 'column "a", row 21: "red" is text'),
    "missing value": (
        "t.csv",
        GOOD + ",2,1\n",
        ["--target", "y"],
        'column "a" is missing 1 of 21 values, the first in row 21',
    ),
    "infinite value": (
        "t.csv",
        GOOD + "inf,2,1\n",
        ["--target", "y"],
        'column "a", row 21: inf is not a finite number',
    ),
    "label NaN": ("t.csv", GOOD + "1,2,NaN\n", ["--target", "y"], 'column "y" is missing 1 of 21 values'),
    "label 2.5": ("t.csv", GOOD + "1,2,2.5\n", ["--target", "y", "--task", "classify"], "2.5 is not a class label"),
    "text as quantity": ("t.csv", GOOD + "1,2,x\n", ["--target", "y", "--task", "regress"], 'row 21: "x" is text'),
    "one class": ("t.csv", "a,y\n1,5\n2,5\n3,5\n4,5\n", ["--target", "y"], "one class only"),
    "as many classes as rows": ("t.csv", "a,y\n1,u\n2,v\n3,w\n4,x\n", ["--target", "y"], "too many for classes"),
    "too few rows": ("t.csv", "a,y\n1,0.5\n2,0.7\n", ["--target", "y"], "2 rows are too few for a validation part"),
    "only the target": ("t.csv", "y\n1\n2\n1\n2\n", ["--target", "y"], "no column is left besides the target"),
    "dropped column unknown": ("t.csv", GOOD, ["--target", "y", "--drop", "c"], 'there is no column "c"'),
    "target dropped": ("t.csv", GOOD, ["--target", "y", "--drop", "y"], "is the target"),
    "loss of another task": ("t.csv", GOOD, ["--target", "y", "--loss", "mse"], "mse does not fit the task classify"),
}

LONG, CUT = "x" * 300, "x" * 76 + " ..."  # a name, and what is shown of it

# Arguments, and words of the message.
WORDS: dict[str, tuple[list[str], str]] = {
    "unknown command": (["trian", "digits"], "trian"),
    "unknown option": (["train", "digits", "--epoch", "3"], "Possible options: --epochs"),
    "option without value": (["train", "digits", "--lr"], "--lr"),
    "unknown data": (["train", "digit"], 'did you mean "digits"?'),
    "no data": (["train"], "no data given: name a data set or a file"),
    "no such file": (["train", "no.csv", "--target", "y"], "no.csv: no such file"),
    "a folder": (["train", "folder.csv", "--target", "y"], "folder.csv: cannot be read"),
    "lr NaN": (["train", "digits", "--lr", "nan"], "lr is nan, expected a finite number, more than 0"),
    "lr negative": (["train", "digits", "--lr", "-1"], "lr is -1.0"),
    "lr text": (["train", "digits", "--lr", "fast"], 'lr is "fast", expected a number'),
    "lr text by name": (["train", "digits", "lr=fast"], 'lr is "fast", expected a number'),
    "epochs 0": (["train", "digits", "--epochs", "0"], "epochs is 0"),
    "epochs 2.5": (["train", "digits", "--epochs", "2.5"], "epochs is '2.5', expected a whole number"),
    "batch of no rows": (["train", "digits", "--batch-size", "0"], "batch_size is 0"),
    "seed negative": (["train", "digits", "--seed", "-1"], "seed is -1"),
    "seed too large": (["train", "digits", f"seed={2**64}"], "expected a whole number from 0 to 2**64 - 1"),
    "no threads": (["train", "digits", "--threads", "0"], "threads is 0"),
    "dropout 1": (["train", "digits", "--dropout", "1"], "dropout is 1.0"),
    "nothing to train on": (
        ["train", "digits", "--val-size", "0.5", "--test-size", "0.5"],
        "leave nothing to train on",
    ),
    "unknown key": (["train", "digits", "epoch=3"], '"epoch" is not a setting: did you mean "epochs"?'),
    "word that is no key": (
        ["train", "digits", "quickly"],
        '"quickly" is neither an option nor a setting such as epochs=20',
    ),
    "value of another kind": (["train", "digits", "epochs={"], "epochs is '{', expected a whole number"),
    "empty value": (["train", "digits", "epochs="], "epochs is empty"),
    "unknown network": (["train", "digits", "--model", "mpl:64"], 'model: "mpl:64" is unknown: did you mean "mlp"?'),
    "network without sizes": (["train", "digits", "--model", "mlp"], "expected the sizes of the hidden layers"),
    "network of size 0": (["train", "digits", "--model", "mlp:64,0"], "each at least 1"),
    "network of size 10^300": (["train", "digits", "--model", "mlp:1" + "0" * 300], "and at most 1,000,000,000"),
    "network beyond all memory": (
        ["train", "digits", "--model", "mlp:1000000000"],
        "has 75,000,000,010 weights, which take 1,117.6 GiB in training, but",
    ),
    "network of too many layers": (["train", "digits", "--model", "mlp:" + "3," * 1000 + "3"], "(at most 1,000), each"),
    "linear with dropout": (["train", "digits", "--model", "linear", "dropout=0.1"], "dropout: linear has no hidden"),
    "linear with sizes": (["train", "digits", "--model", "linear:3"], "linear has no hidden layers"),
    "unknown activation": (["train", "digits", "--activation", "rleu"], 'did you mean "relu"?'),
    "unknown optimizer": (["train", "digits", "--optimizer", "adamm"], 'did you mean "adam"?'),
    "unknown schedule": (["train", "digits", "--schedule", "cosin"], 'did you mean "cosine"?'),
    "schedule without its number": (["train", "digits", "--schedule", "step"], "step takes 1 to 2"),
    "schedule with a word": (["train", "digits", "--schedule", "step:x"], "expected numbers after the colon"),
    "schedule of half epochs": (
        ["train", "digits", "--schedule", "step:2.5"],
        "a number of epochs must be whole, got 2.5",
    ),
    "warm-up too long": (["train", "digits", "epochs=3", "warmup_epochs=3"], "leave none"),
    "momentum of adam": (["train", "digits", "--momentum", "0.9"], "momentum: adam takes no momentum"),
    "patience without validation": (["train", "digits", "val_size=0", "patience=3"], "needs validation rows"),
    "clip_norm 0": (["train", "digits", "--clip-norm", "0"], "clip_norm is 0.0"),
    "no config file": (["train", "digits", "--config", "no.yaml"], "no.yaml: cannot be read"),
    "config with an unknown key": (
        ["train", "--config", "key.yaml"],
        'key.yaml: line 2: "epoch" is not a setting: did you mean',
    ),
    "config that is not YAML": (["train", "--config", "broken.yaml"], "broken.yaml: not valid YAML at line"),
    "config that is a list": (["train", "--config", "list.yaml"], "list.yaml: line 1: holds a list"),
    "config of the wrong kind": (["train", "--config", "kind.yaml"], "epochs is 'many'"),
    "no runs": (["info"], "no run in runs/ has completed an epoch"),
    "no such run": (["evaluate", "runs/x"], "no such run: there are no runs in runs/ yet"),
    "not a run": (["evaluate", "folder.csv"], "not a run folder"),
    "predict without data": (["predict", "latest"], "Missing argument 'DATA': see `chainrule predict -h`"),
    "threads of evaluate": (
        ["evaluate", "latest", "--threads", "0"],
        "evaluate: threads is 0, expected a whole number, at least 1",
    ),
    "run's name too long": (["info", LONG], f"{CUT}: cannot be read or written (File name too long): choose"),
    "data's name too long": (["train", LONG + ".csv"], "which no file can be called: correct it"),
    "out's name too long": (["train", "digits", "--out", LONG], "which no file can be called: correct it"),
    "name too long": (["train", "digits", "--name", LONG], "which no file can be called: correct it"),
    "config's name too long": (["train", "--config", LONG], f"{CUT}: cannot be read (File name too long): choose"),
    "out is a file": (["train", "digits", "--out", "key.yaml", *QUICK], "key.yaml"),
}


def check(outcome: Outcome, words: str, folder: Path, before: set[Path]) -> None:
    """One line on stderr, exit 2, no traceback, and not a file more than before."""
    assert outcome.status == 2, outcome
    assert words in outcome.err
    assert outcome.err.startswith("chainrule: ")
    assert outcome.err.count("\n") == 1
    assert set(folder.rglob("*")) == before


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "key.yaml").write_text("data: digits\nepoch: 3\n")
    (tmp_path / "broken.yaml").write_text("data: [digits\nepochs: 3\n")
    (tmp_path / "list.yaml").write_text("- digits\n")
    (tmp_path / "kind.yaml").write_text("data: digits\nepochs: many\n")
    return tmp_path


@pytest.mark.parametrize("case", TABLES)
def test_tables(chainrule: Command, folder: Path, case: str) -> None:
    name, content, arguments, words = TABLES[case]
    (folder / name).write_bytes(content.encode(errors="surrogateescape"))
    before = set(folder.rglob("*"))
    check(chainrule("train", name, *arguments), words, folder, before)


@pytest.mark.parametrize("case", WORDS)
def test_arguments(chainrule: Command, folder: Path, case: str) -> None:
    arguments, words = WORDS[case]
    before = set(folder.rglob("*"))
    check(chainrule(*arguments), words, folder, before)


def test_a_file_without_read_permission(chainrule: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("chainrule.cli.loading", "encodings.cp437"):  # before rights are given up: private folders
        importlib.import_module(module)

    folder = Path(tempfile.mkdtemp())  # not below pytest's own folder, which others may not enter at all
    user = os.geteuid()
    try:
        folder.chmod(0o755)
        path = folder / "secret.csv"
        path.write_text(GOOD)
        path.chmod(0)
        if user == 0:
            os.seteuid(65534)  # nobody: root may read anything
        outcome = chainrule("train", path, "--target", "y")
    finally:
        os.seteuid(user)
        shutil.rmtree(folder)
    assert outcome.status == 2
    assert outcome.err == f"chainrule: {path}: cannot be read (Permission denied): check the path and its permissions\n"


def test_a_folder_without_write_permission(chainrule: Command) -> None:
    for module in ("chainrule.cli.loading", "encodings.cp437"):  # before rights are given up: private folders
        importlib.import_module(module)

    folder = Path(tempfile.mkdtemp())
    user = os.geteuid()
    try:
        folder.chmod(0o555)
        if user == 0:
            os.seteuid(65534)
        outcome = chainrule("train", "digits", "--out", folder, *QUICK)
    finally:
        os.seteuid(user)
        left = list(folder.iterdir())
        shutil.rmtree(folder)
    assert outcome.status == 2
    assert "cannot be written (Permission denied)" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not left


# Of a run on a table with classes.
FILES = "config.yaml data.json metrics.jsonl model.safetensors results.json loss.png confusion.png".split()


def _python(*arguments: object) -> list[str]:
    code = "import sys; from chainrule.cli.main import main; sys.exit(main())"
    return [sys.executable, "-c", code, *map(str, arguments)]


def check_lost(err: str, why: str, left: set[str]) -> None:
    """The weights are lost; each file that is, and no other, is told in one line, and the small ones are written."""
    lost = re.findall(rf"^chainrule: .*/(.*): cannot be written \({why}\): .*(?<!writes it again)$", err, re.MULTILINE)
    assert "model.safetensors" in lost
    assert sorted([*lost, *left]) == sorted(FILES)
    assert left >= {"config.yaml", "data.json", "metrics.jsonl"}


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="only root may mount a small disk")
def test_a_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    # Room for the config and some lines of metrics, not for the weights. The mount ends with the shell's own namespace.
    script = (
        f'mount -t tmpfs -o size=28k tmpfs "{disk}" || exit 77; "$@"; status=$?; find "{disk}" -type f; exit $status'
    )
    command = _python("train", "digits", "--out", disk, "engine=reference", "epochs=2", "model=mlp:64", "--quiet")
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *command], cwd=tmp_path, capture_output=True, text=True
    )
    if done.returncode == 77:
        pytest.skip("no right to mount")
    assert done.returncode == 2, done
    left = {Path(line).name for line in done.stdout.splitlines() if line.startswith(str(disk))}
    check_lost(done.stderr, "No space left on device", left)


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """What a full disk is to a user without the right to mount one: writes that end in the middle of a file."""
    done = subprocess.run(
        _python(
            "train", "digits", "--out", tmp_path / "runs", "engine=reference", "epochs=2", "model=mlp:64", "--quiet"
        ),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000)),
    )
    assert done.returncode == 2, done
    check_lost(done.stderr, "File too large", {path.name for path in (tmp_path / "runs").rglob("*.*")})


def test_standard_output_that_is_full(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(_python("--version"), stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert done.returncode == 2
    lost = "cannot be written (No space left on device): the rest of the output is lost"
    assert done.stderr == f"chainrule: standard output: {lost}\n"


def test_a_reader_that_has_gone(tmp_path: Path) -> None:
    command = " ".join(f"'{word}'" for word in _python("train", "--help"))
    done = subprocess.run(["sh", "-c", f"{command} | head -n 1"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


# Runs that have been damaged: what is done to a file, and words of the message.
DAMAGE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "config gone": ("config.yaml", Path.unlink, "not a run folder: it has no config.yaml"),
    "weights gone": (
        "model.safetensors",
        Path.unlink,
        "has no weights (model.safetensors): the run has only just started",
    ),
    "weights cut": ("model.safetensors", lambda p: p.write_bytes(p.read_bytes()[:-50]), "model.safetensors"),
    "weights empty": ("model.safetensors", lambda p: p.write_bytes(b""), "model.safetensors"),
    "record damaged": ("data.json", lambda p: p.write_text("{"), "data.json: damaged, not valid JSON"),
    "record of something else": (
        "data.json",
        lambda p: p.write_text("{}"),
        'data.json: has no "fingerprint": restore the file',
    ),
    "record cut": ("data.json", lambda p: p.write_text(p.read_text()[:-9]), "data.json: damaged"),
    "feature lost": (
        "data.json",
        lambda p: p.write_text(re.sub(r',\s*"height"', "", p.read_text())),
        "data.json: preparation.inputs.scaling.mean is [",
    ),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_runs(chainrule: Command, flowers: Path, case: str) -> None:
    assert chainrule("train", flowers, "--target", "kind", *QUICK).status == 0
    name, damage, words = DAMAGE[case]
    run = next(Path("runs").iterdir())
    damage(run / name)
    outcome = chainrule("evaluate", run)
    assert outcome.status == 2, outcome
    assert words in outcome.err
    assert outcome.err.count("\n") == 1


def test_tables_that_do_not_fit_a_run(chainrule: Command, flowers: Path, tmp_path: Path) -> None:
    assert chainrule("train", flowers, "--target", "kind", *QUICK).status == 0
    text = flowers.read_text()
    cases = {
        "no feature": (text.replace("width", "breadth", 1), 'there is no column "width"'),
        "missing value": (text + ",0.5,rose\n", 'column "width" is missing 1 of 91 values'),
        "text": (text + "wide,0.5,rose\n", 'column "width", row 91: "wide" is text'),
    }
    for content, words in cases.values():
        (tmp_path / "new.csv").write_text(content)
        before = set(tmp_path.rglob("*"))
        for arguments in (("evaluate", "latest", "new.csv"), ("predict", "latest", "new.csv", "--out", "p.csv")):
            check(chainrule(*arguments), words, tmp_path, before)
    (tmp_path / "new.csv").write_text(text + "1,2,orchid\n")
    before = set(tmp_path.rglob("*"))
    outcome = chainrule("evaluate", "latest", "new.csv")
    check(
        outcome,
        'column "kind", row 91: "orchid" is not one of the classes: known are iris, rose, tulip',
        tmp_path,
        before,
    )
    check(chainrule("predict", "latest", flowers, "--out", "no/p.csv"), "no/p.csv: cannot be written", tmp_path, before)


def test_a_loss_that_is_not_finite_fails_the_run(chainrule: Command, flowers: Path) -> None:
    settings = ("task=regress", "lr=1e30", "optimizer=sgd", "momentum=0", "engine=reference", "--target", "width")
    outcome = chainrule("train", flowers, "--drop", "kind", *settings)
    assert outcome.status == 1
    assert "step" in outcome.err.splitlines()[-1]
    run = next(Path("runs").iterdir())
    assert {p.name for p in run.iterdir()} == {
        "config.yaml",
        "data.json",
        "metrics.jsonl",
        "model.safetensors",
        "results.json",
    }
    assert "ended after 0 epochs: failed" in chainrule("info", run).out


def test_latest_is_no_run_that_failed_before_it_learnt(chainrule: Command, tmp_path: Path) -> None:
    good = chainrule("train", "digits", "--epochs", "1", "--out", tmp_path)
    assert good.status == 0
    failed = chainrule("train", "digits", "--epochs", "1", "--memory-limit", "10kB", "--out", tmp_path)
    assert failed.status == 2
    assert len(list(tmp_path.glob("*/config.yaml"))) == 2
    assert "finished" in chainrule("info", "latest", "--runs", tmp_path).out


def test_an_error_in_data_names_the_run(chainrule: Command, tmp_path: Path) -> None:
    chainrule("train", "digits", "--epochs", "1", "--out", tmp_path)
    picture = tmp_path / "three.png"
    picture.write_bytes(b"a picture")
    found = chainrule("predict", "latest", picture, "--runs", tmp_path)
    assert found.status == 2
    assert "which was trained on a table" in found.err


def test_an_older_damaged_run_does_not_spoil_latest(chainrule: Command, tmp_path: Path) -> None:
    chainrule("train", "digits", "--epochs", "1", "--out", tmp_path, "--name", "old")
    next(tmp_path.glob("*old/results.json")).write_text("{")
    chainrule("train", "digits", "--epochs", "1", "--out", tmp_path, "--name", "new")
    assert "new" in chainrule("info", "latest", "--runs", tmp_path).lines[0]
    next(tmp_path.glob("*new/results.json")).write_text("{")
    damaged = chainrule("info", "latest", "--runs", tmp_path)
    assert damaged.status == 2
    assert "damaged" in damaged.err
