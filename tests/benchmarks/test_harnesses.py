"""The harnesses against crashes run, in their shortest form."""

from __future__ import annotations

import json

import pytest
from benchmarks import labels, signals, threads


@pytest.mark.parametrize(
    ("harness", "arguments"),
    [
        (threads, ["--processes", "2", "--actions", "4"]),
        (labels, ["--cases", "8", "--each", "8"]),
        (signals, ["--interrupts", "6", "--each", "6"]),
    ],
)
def test_a_short_run_has_no_faults(harness, arguments, tmp_path, capsys):
    harness.main([*arguments, "--out", str(tmp_path)])
    assert capsys.readouterr().out.endswith(" 0 faults\n")
    (record,) = tmp_path.glob("*.json")
    assert json.loads(record.read_text())["faults"] == {}
