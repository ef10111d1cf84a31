"""The comparison itself: a peer that trains, losses that must agree, records that stay."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from benchmarks import compare, report
from benchmarks.machine import digits_settings
from benchmarks.networks.definitions import mlp
from benchmarks.workloads import WORKLOADS, matmul_flops, step_flops

DENSE = {"numpy": 100.0}


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict:
    words = ["--quick", "--peers", "chainrule,chainrule_step", "--rounds", "2", "--seconds", "0.01"]
    return compare.compare(WORKLOADS["2-8-1"], compare.parse(words), tmp_path_factory.mktemp("bench"))


def test_peers_are_trained_in_turn(result: dict) -> None:
    assert result["agree"]
    assert not result["errors"]
    for peer in ("chainrule", "chainrule_step"):
        found = result["peers"][peer]
        assert len(found["seconds_per_step"]) == 2
        assert all(seconds > 0 for seconds in found["seconds_per_step"])
        assert found["peak_rss"] > 10 * 2**20


def test_losses_that_differ_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    class Peer:
        def __init__(self, peer: str, loss: float) -> None:
            self.peer, self.loss = peer, loss
            self.variant = compare.Variant("as installed")

        def check(self, steps: int) -> list[float]:
            return [self.loss] * steps

    agree, _ = compare.agreement([Peer("chainrule", 1.0), Peer("jax_scan", 1.0005), Peer("torch_eager", 1.0)], 2)
    assert agree
    agree, _ = compare.agreement([Peer("chainrule", 1.1), Peer("jax_scan", 1.0), Peer("torch_eager", 1.0)], 2)
    assert not agree
    assert "step 0: chainrule as installed has loss 1.100000, the others 1.000000" in capsys.readouterr().err


def test_a_record_never_replaces_another(result: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = {"machine": report.machine(2), "started": "now", "rounds": 2, "seconds": 0.01, "dense_gflops": DENSE}
    record["workloads"] = {"2-8-1": result}
    monkeypatch.setattr("time.strftime", lambda form: "2026-01-31")
    names = [[path.name for path in report.write(record, tmp_path)] for _ in range(2)]
    assert names[0] == ["2026-01-31.json", "2026-01-31.md", "2026-01-31.png"]
    assert names[1] == ["2026-01-31-2.json", "2026-01-31-2.md", "2026-01-31-2.png"]
    text = (tmp_path / "2026-01-31.md").read_text()
    assert "Medians of 2 interleaved runs of 0.01 s." in text
    assert "| **chainrule, Trainer.fit** |" in text


def test_rivals_are_compared_with_the_best_of_them(result: dict) -> None:
    rival = {**result["peers"]["chainrule"], "title": "JAX", "seconds_per_step": [2e-6, 2e-6]}
    ours = {**rival, "seconds_per_step": [1e-6, 1e-6]}
    rows = report.rows({**result, "peers": {"jax_scan": rival, "chainrule": ours}}, DENSE)
    assert [(row.title, row.ratio) for row in rows] == [
        ("chainrule, Trainer.fit", pytest.approx(2.0)),
        ("JAX, lax.scan over steps", pytest.approx(1.0)),
    ]


@pytest.mark.parametrize(
    ("words", "rounds", "seconds"), [([], 11, 0.4), (["--quick"], 3, 0.15), (["--quick", "--rounds", "5"], 5, 0.15)]
)
def test_quick_sets_only_what_is_not_said(words: list[str], rounds: int, seconds: float) -> None:
    options = compare.parse(words)
    assert (options.rounds, options.seconds) == (rounds, seconds)


def test_unknown_names_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        compare.parse(["--workloads", "mnist"])
    assert "'mnist' is unknown: choose from 2-8-1" in capsys.readouterr().err


def test_operations_are_counted() -> None:
    tiny = dataclasses.replace(WORKLOADS["2-8-1"], layers=mlp(2, 3, 1), batch=5)
    assert matmul_flops(tiny) == 2 * 5 * (2 * 3 + 3 * 1) * 3 - 2 * 5 * 2 * 3
    assert step_flops(tiny) > matmul_flops(tiny) + 4 * tiny.parameters


def test_the_rival_trains_the_digits_as_we_do() -> None:
    assert digits_settings() == {"hidden": (256,), "lr": 1e-3, "epochs": 40, "batch": 32}
