"""The main job: `chainrule train digits` on the engine people use, as a process of its own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests import patience

import chainrule as cr

Start = Callable[..., "subprocess.Popen[str]"]


def test_train_digits(process: Start, tmp_path: Path) -> None:
    training = process("train", "digits")
    out, err = training.communicate(timeout=patience.SECONDS)
    assert training.returncode == 0, err
    lines = out.splitlines()
    accuracy = re.fullmatch(r"test accuracy: (0\.\d{4}|1\.0000)", lines[-2])
    assert accuracy is not None, out
    assert float(accuracy[1]) >= 0.97
    folder = re.fullmatch(r"run: (runs/\d{8}-\d{6}-digits)", lines[-1])
    assert folder is not None
    run = tmp_path / folder[1]
    assert {p.name for p in run.iterdir()} >= {"config.yaml", "metrics.jsonl", "model.safetensors", "loss.png"}
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["data"], config["target"], config["task"], config["optimizer"]) == (
        "digits",
        "digit",
        "classify",
        "adam",
    )
    epochs = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [e["epoch"] for e in epochs] == list(range(1, config["epochs"] + 1))
    assert epochs[-1]["loss"] < 0.1 * epochs[0]["loss"]
    assert (run / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert "Linear" in out
    assert "precision" in out

    evaluating = process("evaluate", "latest")
    out, err = evaluating.communicate(timeout=patience.SECONDS)
    assert out.splitlines()[-1] == f"accuracy: {accuracy[1]}", err


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_ctrl_c_keeps_the_last_good_state(process: Start, tmp_path: Path, engine: str) -> None:
    training = process("train", "digits", "epochs=100000", f"engine={engine}")
    metrics = wait_for_lines(tmp_path, 3, training)
    training.send_signal(signal.SIGINT)
    out, err = training.communicate(timeout=patience.SECONDS)
    assert training.returncode == 130, err
    assert out.splitlines()[-1].startswith("run: runs/")
    assert err.splitlines()[-1] == "chainrule: stopped by Ctrl-C"
    assert "Traceback" not in err
    run = metrics.parent
    results = json.loads((run / "results.json").read_text())
    assert results["ended"] == "interrupted"
    assert results["epochs"] == len(metrics.read_text().splitlines())
    assert (run / "model.safetensors").exists()
    predicting = process("evaluate", run)
    out, err = predicting.communicate(timeout=patience.SECONDS)
    assert predicting.returncode == 0, err


def test_a_kill_leaves_no_half_written_file(process: Start, tmp_path: Path) -> None:
    training = process("train", "digits", "epochs=100000", "engine=reference")
    metrics = wait_for_lines(tmp_path, 3, training)
    training.kill()
    training.communicate(timeout=patience.SECONDS)
    for line in metrics.read_text().splitlines():
        json.loads(line)
    assert metrics.read_text().endswith("\n")
    files = {p.name for p in metrics.parent.iterdir()}
    assert files == {"config.yaml", "data.json", "metrics.jsonl", "model.safetensors"}
    assert cr.load(metrics.parent / "model.safetensors").state_dict()


def wait_for_lines(folder: Path, lines: int, training: subprocess.Popen[str]) -> Path:
    """The run's metrics, when some epochs are done; cold code compiles first."""
    end = time.monotonic() + patience.SECONDS
    while time.monotonic() < end and training.poll() is None:
        for path in folder.glob("runs/*/metrics.jsonl"):
            if path.read_text().count("\n") >= lines:
                return path
        time.sleep(0.05)
    training.kill()
    raise AssertionError(f"no epochs in time: {training.communicate()}")
