"""Damaged run files end in one clear line; `benchmarks.damage` tries a hundred thousand of them."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest
from benchmarks.damage import FAULTS, built_once, call, make_runs, reading_only, summarize, try_mutant
from benchmarks.mutations import STRUCTURAL, mutate

MUTANTS = 300


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, here = tmp_path_factory.mktemp("damage"), Path.cwd()
    os.chdir(folder)
    try:
        with built_once(), reading_only():
            make_runs(folder, compiled=False)
    finally:
        os.chdir(here)
    return folder


@pytest.fixture
def inside(runs: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(runs)
    return runs


def test_damaged_files_end_in_one_line(inside: Path) -> None:
    with built_once(), reading_only():
        tried = [try_mutant(number, seed=1, sample=10) for number in range(MUTANTS)]
    outcomes = Counter(result.outcome for *_, result in tried)
    # A busy machine may be slow: the harness watches time, on one that is not.
    faults = [row for row in tried if row[-1].outcome in FAULTS and row[-1].outcome != "slow"]
    assert not faults
    assert outcomes["one line"] > MUTANTS / 2
    assert outcomes["fine"] > 0


def test_runs_that_are_not_damaged_are_read(inside: Path) -> None:
    for run in Path("runs").iterdir():
        assert call(["info", str(run)]).outcome == "fine"


def test_the_harness_sees_what_is_wrong(inside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise KeyError("epochs")

    monkeypatch.setattr("chainrule.cli.run.Run.find", broken)
    result = call(["info", "runs/classes"])
    assert result.outcome == "internal error"
    assert "KeyError" in result.said
    results = [{"file": "f", "outcome": result.outcome}, {"file": "f", "outcome": "fine"}]
    assert summarize(results)["outcomes"] == {"internal error": 1, "fine": 1}
    assert len(summarize(results)["faults"]) == 1


def test_every_kind_of_damage_occurs(inside: Path) -> None:
    kinds: dict[str, set[str]] = {name: set() for name in STRUCTURAL}
    for number in range(2000):
        draw = random.Random(number)
        name = draw.choice(list(STRUCTURAL))
        kinds[name].add(mutate(draw, name, (inside / "runs/classes" / name).read_bytes()).kind)
    assert {"must: a key is gone", "must: a key twice", "flip", "cut", "splice"} <= kinds["data.json"]
    assert {"must: a bomb", "must: a key twice", "value"} <= kinds["config.yaml"]
    assert {"must: a weight", "must: the length of the header", "must: a key is renamed"} <= kinds["model.safetensors"]


# Files of a run that fit by themselves but not with the others, and words of the message.
MISFITS = {
    "another task": (
        "config.yaml",
        b"task: classify",
        b"task: regress",
        "task is 'regress', but 'classify' in data.json",
    ),
    "another target": ("config.yaml", b"target: kind", b"target: width", "target is 'width', but 'kind' in data.json"),
    "another policy": ("config.yaml", b"missing: refuse", b"missing: mean", "missing is 'mean', but 'refuse' in data"),
    "a loss of another task": ("config.yaml", b"loss: cross-entropy", b"loss: mse", "mse does not fit the task"),
    "other classes": ("results.json", b'"rose"', b'"rosa"', "test.classes are not the classes in data.json"),
    "a class more": ("data.json", b'"rose",', b'"rose", "salvia",', "test.classes are not the classes in data.json"),
    "a scale of 0": (
        "data.json",
        b'"deviation": [',
        b'"deviation": [0, ',
        r"scaling.deviation\[0\] is 0, expected a fin",
    ),
    "a class twice": ("data.json", b'"rose"', b'"iris"', r"target.names\[1\] is 'iris', expected a name that is not"),
    "the target as a feature": ("data.json", b'"width"', b'"kind"', "target.column is 'kind', expected a column that"),
    "negative epochs": ("results.json", b'"epochs": 2', b'"epochs": -2', "epochs is -2, expected a whole number >= 0"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_files_that_do_not_fit_together(inside: Path, tmp_path: Path, case: str) -> None:
    name, old, new, words = MISFITS[case]
    run = shutil.copytree("runs/classes", tmp_path / "run")
    content = (run / name).read_bytes()
    assert content.count(old) >= 1
    (run / name).write_bytes(content.replace(old, new, 1))
    result = call(["evaluate", str(run)])
    assert result.outcome == "one line"
    assert re.search(words, result.said), result.said
    assert "/run/" in result.said


def test_a_model_of_another_run(inside: Path, tmp_path: Path) -> None:
    run = shutil.copytree("runs/classes", tmp_path / "run")
    for other, words in (
        ("quantity", "does not take rows of shape (2,)"),
        ("images", "does not take rows of shape (2,)"),
    ):
        shutil.copy(f"runs/{other}/model.safetensors", run)
        assert words in call(["info", str(run)]).said
    shutil.copy("runs/drop/model.safetensors", run)
    assert call(["info", str(run)]).outcome == "fine"


def test_a_panic_of_a_library_is_an_error_of_its_file(inside: Path, tmp_path: Path) -> None:
    """65 axes, and a length that overflows: the safetensors library panics, which is no `Exception`."""
    run = shutil.copytree("runs/classes", tmp_path / "run")
    content = (run / "model.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for shape in ([1] * 65, [2**40, 2**40], [2**63, 0], [-1], ["3"], [2.5], None):
        header["0.weight"]["shape"] = shape
        text = json.dumps(header).encode()
        (run / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
        result = call(["info", str(run)])
        assert result.outcome == "one line"
        assert "model.safetensors: " in result.said


@pytest.mark.parametrize("name", ["config.yaml", "data.json", "results.json", "model.safetensors"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "large"])
def test_run_files_that_are_none(inside: Path, tmp_path: Path, name: str, kind: str) -> None:
    run = shutil.copytree("runs/classes", tmp_path / "run")
    (run / name).unlink()
    if kind == "pipe":
        os.mkfifo(run / name)
    elif kind == "device":
        (run / name).symlink_to("/dev/zero")
    elif kind == "folder":
        (run / name).mkdir()
    else:
        with (run / name).open("wb") as file:
            file.truncate(3 << 30)  # it takes no room on the disk
    for command in ("info", "evaluate"):
        result = call([command, str(run)], traced=True)
        assert result.outcome == "one line"
        assert f"run/{name}" in result.said
        assert result.memory < 64 << 20
