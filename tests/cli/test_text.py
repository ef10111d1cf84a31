"""Training on a text, and letting the network write, from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.cli.outcome import Command

from chainrule.cli import generate as command
from chainrule.data.text import Characters
from chainrule.models import recurrent_language_model

VERSE = "the cat sat on the mat and the dog sat on the log\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a text, and a network that has learned it by heart."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "book.txt").write_text(VERSE * 60, encoding="utf-8")
    words = ("book.txt", "--model", "gru:32", "--length", "25", "--epochs", "40", "--lr", "0.01")
    command = [sys.executable, "-m", "chainrule", "train", *words]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=dict(os.environ))
    return folder


@pytest.fixture
def run(trained: Path, chainrule: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in that folder."""
    monkeypatch.chdir(trained)
    return chainrule


def test_a_text_is_learned_tested_and_kept(run: Command, trained: Path) -> None:
    evaluated = run("evaluate", "latest")
    assert "nats per character" in evaluated.out
    results = json.loads(next(trained.glob("runs/*/results.json")).read_text())
    assert results["test"]["loss"] < 0.3
    assert f"loss: {results['test']['loss']:.4f} nats per character" in evaluated.out
    assert next(trained.glob("runs/*/loss.png")).stat().st_size > 1000
    shown = run("info")
    assert "GRU" in shown.out
    assert "gru:32" in shown.out


def test_it_writes_what_it_has_read_and_the_same_for_the_same_seed(run: Command, trained: Path) -> None:
    options = (["--temperature", "0"], ["--seed", "1"], ["--seed", "1"], ["--seed", "2", "--temperature", "3"])
    texts = [run("generate", "latest", "--prompt", "the cat", "--length", "25", *more) for more in options]
    assert [text.status for text in texts] == [0] * 4
    assert texts[0].out == VERSE[:32] + "\n"
    assert texts[1].out == texts[2].out != texts[3].out
    assert len(texts[1].out) == len("the cat") + 25 + 1


def test_pieces_are_the_text_of_one_call() -> None:
    import chainrule as cr

    cr.seed(0)
    vocabulary, model = Characters.of("abcdefgh"), recurrent_language_model(8, hidden=16)
    settings = {"temperature": 1.0, "top_k": 4, "seed": 5}
    pieces = list(command.write(model, vocabulary, [1, 2, 3], 50, settings))
    whole = cr.Stream(model).generate([[1, 2, 3]], 50, **settings)
    assert "".join(pieces) == vocabulary.decode(whole[0].tolist())
    assert len(pieces) > 1
    assert np.isin(whole, range(8)).all()


def test_another_text_is_evaluated_whole_and_one_with_other_characters_is_refused(run: Command, trained: Path) -> None:
    (trained / "more.txt").write_text(VERSE * 3, encoding="utf-8")
    assert "more: 5 windows\n" in run("evaluate", "latest", "more.txt").out
    (trained / "odd.txt").write_text(VERSE + "£5\n", encoding="utf-8")
    odd = run("evaluate", "latest", "odd.txt")
    assert odd.status == 2
    assert 'odd.txt: character 51 is "£" (U+00A3, POUND SIGN), which the training text does not have' in odd.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("generate", "latest", "--prompt", "Ä"), 'prompt: character 1 is "Ä"'),
        (("generate", "latest", "--prompt", ""), "prompt: it is empty"),
        (("generate", "latest", "--prompt", "\udcff"), "prompt: it is not UTF-8 text"),
        (("generate", "latest", "--temperature", "-1"), "temperature is -1.0, expected a finite number, at least 0"),
        (("generate", "latest", "--temperature", "warm"), "temperature is 'warm', expected a finite number"),
        (("generate", "latest", "--length", "0"), "length is 0, expected a whole number, at least 1"),
        (("generate", "latest", "--top-k", "0"), "top_k is 0"),
        (("predict", "latest", "book.txt"), "let it write with `chainrule generate latest`"),
        (("train", "book.txt", "--model", "mlp:8"), "model: mlp:8 does not take this data"),
        (("train", "book.txt", "--model", "lstm:8,9"), "expected the units of each layer, the same for all"),
        (("train", "book.txt", "--model", "lstm"), "expected the units of each layer"),
        (("train", "book.txt", "--target", "x"), "target: does not apply, book.txt is a text"),
        (("train", "book.txt", "--task", "classify"), "task: classify does not apply"),
        (("train", "book.txt", "--tokens", "letters"), "tokens is"),
        (("train", "book.txt", "--length", "5000"), "too few for windows of 5000"),
        (("train", "digits", "--length", "5"), "length: does not apply, digits is a table"),
        (("train", "digits", "--model", "lstm:8"), "lstm:8 does not take this data, digits is a table"),
        (("train", "none.txt"), "no such file"),
    ],
)
def test_what_does_not_fit_is_one_line(run: Command, words: tuple[str, ...], told: str) -> None:
    outcome = run(*words)
    assert outcome.status == 2
    assert told in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_file_with_a_target_is_a_table_whatever_the_network(chainrule: Command, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "1,x\n2,y\n" * 20)
    outcome = chainrule("train", str(tmp_path / "t.csv"), "--target", "b", "--model", "lstm:8")
    assert outcome.status == 2
    assert "t.csv is a table: use --model mlp:64,64" in outcome.err


def test_a_run_on_a_table_does_not_write(chainrule: Command) -> None:
    assert chainrule("train", "digits", "--epochs", "1").status == 0
    outcome = chainrule("generate", "latest")
    assert "it was not trained on text" in outcome.err


def test_outputs_that_need_more_memory_than_is_free_are_refused(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chainrule.cli.loading.room", lambda: 1000)
    outcome = run("train", "book.txt", "--tokens", "bytes", "--length", "8")
    assert outcome.status == 2
    assert "windows of 256 tokens take" in outcome.err
    assert "use a smaller --val-size and --test-size" in outcome.err


def test_writing_ends_when_nobody_reads_on(trained: Path) -> None:
    command = [sys.executable, "-m", "chainrule", "generate", "latest", "--length", str(10**15)]
    writer = subprocess.Popen(command, cwd=trained, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert len(writer.stdout.read(20)) == 20
    writer.stdout.close()
    assert writer.wait() == 0


def test_words_and_bytes_are_tokens_too(run: Command, trained: Path) -> None:
    for tokens, unit in (("words", "word"), ("bytes", "byte")):
        words = ("train", "book.txt", "--tokens", tokens, "--model", "rnn:8", "--length", "8", "--epochs", "1")
        outcome = run(*words, "--out", "other")
        assert outcome.status == 0, outcome.err
        assert f"nats per {unit}" in outcome.out
        assert run("generate", "latest", "--runs", "other", "--length", "12").status == 0
