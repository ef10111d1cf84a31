"""What a command does where its surroundings fail it: output that goes away, signals, full disks, odd environments."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests import patience
from tests.cli.outcome import QUICK, Command, train

from chainrule.cli.run import Run

WHOLE = {"config.yaml", "data.json", "metrics.jsonl", "model.safetensors", "results.json", "loss.png", "confusion.png"}
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts a command as a process of its own, with the default actions of signals but for those to ignore."""

    def run(*arguments: object, ignored: tuple[int, ...] = (), **options: Any) -> subprocess.Popen[str]:
        def prepare() -> None:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
        command = [sys.executable, "-m", "chainrule", *map(str, arguments)]
        return subprocess.Popen(command, cwd=tmp_path, preexec_fn=prepare, **options)

    return run


def the_run(folder: Path) -> Path:
    (run,) = (folder / "runs").iterdir()
    return run


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def wait_for_epochs(folder: Path, training: subprocess.Popen[str], lines: int = 1) -> None:
    end = time.monotonic() + patience.SECONDS
    while time.monotonic() < end and training.poll() is None:
        if any(path.read_text().count("\n") >= lines for path in folder.glob("runs/*/metrics.jsonl")):
            return
        time.sleep(0.02)
    training.kill()
    raise AssertionError(f"no epochs: {training.communicate()}")


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_training_goes_on_when_the_reader_of_its_output_goes(
    start: Start, flowers: Path, tmp_path: Path, closed: str
) -> None:
    with start("train", flowers, "--target", "kind", *QUICK) as training:
        getattr(training, closed).close()  # before anything is written
        other = (training.stderr if closed == "stdout" else training.stdout).read()
    assert training.returncode == 0, other
    assert names(the_run(tmp_path)) == WHOLE
    assert ("epoch 3/3" if closed == "stdout" else "run: runs/") in other
    assert "Exception ignored" not in other


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_closed_from_the_start_are_no_fault(flowers: Path, tmp_path: Path, closed: str) -> None:
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "chainrule"]
    done = subprocess.run(
        [*shell, "train", flowers, "--target", "kind", *QUICK], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert names(the_run(tmp_path)) == WHOLE
    for line in (the_run(tmp_path) / "metrics.jsonl").read_text().splitlines():
        json.loads(line)  # nothing else was written there


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_to_a_full_disk_is_told_and_the_run_is_whole(start: Start, flowers: Path, tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        training = start("train", flowers, "--target", "kind", "-q", *QUICK, stdout=full)
        assert training.communicate(timeout=patience.SECONDS)[1] == (
            "chainrule: standard output: cannot be written (No space left on device): the rest of the output is lost\n"
        )
        assert training.returncode == 2
        assert names(the_run(tmp_path)) == WHOLE
        predicting = start("predict", "latest", flowers, stdout=full, stderr=full)
        assert predicting.wait(patience.SECONDS) == 2


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("MPLBACKEND", "module://matplotlib_inline.backend_inline"),
        ("MPLBACKEND", "none such"),
        ("MPLCONFIGDIR", "/proc/none"),
    ],
)
def test_figures_are_drawn_whatever_the_environment_says_of_matplotlib(
    start: Start, flowers: Path, tmp_path: Path, variable: str, value: str
) -> None:
    pytest.importorskip("matplotlib")
    training = start("train", flowers, "--target", "kind", "-q", *QUICK, env={**os.environ, variable: value})
    _, err = training.communicate(timeout=patience.SECONDS)
    assert (training.returncode, err) == (0, "")
    assert names(the_run(tmp_path)) == WHOLE


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signals_that_ask_to_stop_keep_the_last_good_state(
    start: Start, flowers: Path, tmp_path: Path, name: str
) -> None:
    number = signal.Signals[name]
    training = start("train", flowers, "--target", "kind", *QUICK, "epochs=10000000")
    wait_for_epochs(tmp_path, training)
    training.send_signal(number)
    out, err = training.communicate(timeout=patience.SECONDS)
    assert training.returncode == 128 + number, err
    assert err.splitlines()[-1] == f"chainrule: stopped by {name}"
    assert out.splitlines()[-1].startswith("run: runs/")
    assert names(the_run(tmp_path)) == WHOLE
    assert Run(the_run(tmp_path)).read_results().ended == f"interrupted by {name}"


def test_a_signal_that_nohup_ignores_stays_ignored(start: Start, flowers: Path, tmp_path: Path) -> None:
    training = start(
        "train", flowers, "--target", "kind", *QUICK, "epochs=10000000", ignored=(signal.SIGHUP, signal.SIGINT)
    )
    wait_for_epochs(tmp_path, training)
    training.send_signal(signal.SIGHUP)
    training.send_signal(signal.SIGTERM)
    _, err = training.communicate(timeout=patience.SECONDS)
    assert training.returncode == 128 + signal.SIGTERM, err
    assert Run(the_run(tmp_path)).read_results().ended == "interrupted by SIGTERM"


@pytest.mark.parametrize("file", ["metrics.jsonl", "model.safetensors", "results.json", "loss.png", "confusion.png"])
def test_a_file_that_cannot_be_written_hides_no_result(
    chainrule: Command, flowers: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    def fails(call: Callable[..., Any], when: Callable[..., bool]) -> Callable[..., Any]:
        def disk(*arguments: Any) -> Any:
            if when(*arguments):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*arguments)

        return disk

    if file == "metrics.jsonl":
        monkeypatch.setattr(os, "write", fails(os.write, lambda number, line: line.startswith(b'{"epoch"')))
    else:
        monkeypatch.setattr(os, "replace", fails(os.replace, lambda beside, path: Path(path).name == file))
    outcome = chainrule("train", flowers, "--target", "kind", *QUICK)
    assert outcome.status == 2
    assert any(line.startswith("test accuracy: ") for line in outcome.lines)
    run = Path(outcome.lines[-1].removeprefix("run: "))
    told = [line for line in outcome.err.splitlines() if line.startswith("chainrule: ")]
    mend = "free some space, or choose another folder"
    expected = f"chainrule: {run / file}: cannot be written (No space left on device): {mend}"
    earlier = [f"{expected}; training goes on, and writes it again"] if file == "model.safetensors" else []
    assert told == [*earlier, expected]
    assert names(run) == WHOLE if file == "metrics.jsonl" else names(run) == WHOLE - {file}


def test_weights_of_an_earlier_epoch_are_told_of(
    chainrule: Command, flowers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, saved = os.replace, []

    def once(beside: Path, path: Path) -> None:
        if Path(path).suffix == ".safetensors":
            saved.append(path)
            if len(saved) > 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(beside, path)

    monkeypatch.setattr(os, "replace", once)
    assert chainrule("train", flowers, "--target", "kind", *QUICK).status == 2
    told = "its last weights could not be saved"
    assert f"ended after 3 epochs: finished; {told}" in chainrule("info").lines
    assert chainrule("evaluate", "latest").err.endswith(f"{told}: those of an earlier epoch are used\n")


def test_a_figure_that_cannot_be_drawn_is_one_line(
    chainrule: Command, flowers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ValueError("no such\nfont")

    monkeypatch.setattr("chainrule.inspect.plots.save_losses", broken)
    outcome = chainrule("train", flowers, "--target", "kind", "-q", *QUICK)
    assert outcome.status == 1
    run = Path(outcome.lines[-1].removeprefix("run: "))
    why = "cannot be drawn (ValueError: no such font): the run is complete without it"
    assert outcome.err == f"chainrule: {run / 'loss.png'}: {why}\n"
    assert names(run) == WHOLE - {"loss.png"}


def test_a_run_that_is_killed_while_its_folder_is_made_is_none(
    chainrule: Command, flowers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train(chainrule, flowers, "--target", "kind", *QUICK)
    with monkeypatch.context() as patched:
        patched.setattr("chainrule.cli.run._named", lambda *folders: os._exit(9))
        child = os.fork()
        if not child:
            chainrule("train", flowers, "--target", "kind", *QUICK)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert len(list(Path("runs").iterdir())) == 2
    assert chainrule("info").lines[0] == f"run: {first}"


def test_latest_tells_that_it_passes_a_newer_run_by(chainrule: Command, flowers: Path) -> None:
    first = train(chainrule, flowers, "--target", "kind", *QUICK)
    begun = Path("runs/29990101-000000-begun")
    begun.mkdir()
    (begun / "config.yaml").touch()
    Path("runs/29990101-000000-empty").mkdir()
    outcome = chainrule("info")
    assert outcome.lines[0] == f"run: {first}"
    why = "it has no weights: it has only just started, or was killed early"
    assert outcome.err == f"{begun}: {why}: {first} is used instead\n"


def test_a_renamed_run_is_as_old_as_its_config(chainrule: Command, flowers: Path) -> None:
    old = train(chainrule, flowers, "--target", "kind", *QUICK).rename("runs/z-best")
    os.utime(old / "config.yaml", (10**9, 10**9))
    new = train(chainrule, flowers, "--target", "kind", *QUICK)
    assert chainrule("info").lines[0] == f"run: {new}"


@pytest.mark.parametrize("size", ["0", "x", "-5", "²", "99999999999", "1"])
@pytest.mark.parametrize("variable", ["COLUMNS", "LINES", "TERMINAL_WIDTH"])
def test_sizes_of_the_terminal_that_are_none_are_ignored(
    chainrule: Command, monkeypatch: pytest.MonkeyPatch, variable: str, size: str
) -> None:
    monkeypatch.setenv(variable, size)
    outcome = chainrule("info", "-h")
    assert (outcome.status, outcome.err) == (0, "")
    assert os.environ.get(variable) == ("1" if size == "1" else None)


@pytest.mark.parametrize("threads", ["0", "10000", "1" + 30 * "0"])
def test_no_machine_has_so_many_threads(chainrule: Command, threads: str) -> None:
    outcome = chainrule("train", "digits", "--threads", threads)
    assert outcome.status == 2
    expected = f"threads is {threads}, expected a whole number, at least 1, at most 1,024"
    assert outcome.err == f"chainrule: train: {expected}\n"


@pytest.mark.skipif(sys.platform == "darwin", reason="names of files are UTF-8 there")
def test_names_that_are_no_text_are_found_again(chainrule: Command, flowers: Path) -> None:
    data, out = flowers.rename(os.fsdecode(b"flowers\xff.csv")), os.fsdecode(b"runs\xff")
    outcome = chainrule("train", data, "--target", "kind", "--out", out, *QUICK)
    assert outcome.status == 0, outcome.err
    outcome = chainrule("evaluate", "latest", "--runs", out)
    assert outcome.status == 0, outcome.err


def test_a_link_to_no_folder_is_named(chainrule: Command, flowers: Path) -> None:
    Path("link").symlink_to("nowhere")
    outcome = chainrule("train", flowers, "--target", "kind", "--out", "link", *QUICK)
    assert outcome.status == 2
    fix = "make it, or choose another --out"
    assert outcome.err == f"chainrule: link: is a link to a folder that does not exist: {fix}\n"
