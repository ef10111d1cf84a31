"""Each example runs as a reader would run it, and the numbers it prints are the ones it is about."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests import patience

EXAMPLES = Path(__file__).parents[2] / "examples"
NUMBER = r"([+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
RESULT = r"(\d+\.\d%|NaN @\d+)"


@pytest.fixture
def run(tmp_path):
    """Run an example with --quick in an empty folder; its output, and the picture it says it wrote."""

    def start(name, *options):
        command = [sys.executable, str(EXAMPLES / name), "--quick", *options]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=patience.SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr
        picture = Path(re.search(r"^figure: (.+)$", done.stdout, flags=re.M).group(1))
        assert picture.parent == tmp_path.resolve()
        assert picture.read_bytes().startswith(b"\x89PNG")
        return done.stdout

    return start


def found(pattern, text, kind=float):
    return [tuple(map(kind, match)) if isinstance(match, tuple) else kind(match) for match in re.findall(pattern, text)]


def percent(result):
    """An accuracy of the remedies' table; 0 for a training that diverged."""
    return float(result[:-1]) if result.endswith("%") else 0.0


def test_single_neuron_prints_the_chain_rule_right(run):
    text = run("01_single_neuron.py")
    a = 1 / (1 + math.exp(-1.0))  # the first prediction, of both samples
    slope = a * (1 - a)
    dz = [(a - 1) * slope, a * slope]
    printed = found(rf"(?:dL/dw1|dL/dw2|dL/db) +{NUMBER} +{NUMBER}", text)
    for (hand, backward), value in zip(printed[:3], [dz[0], dz[1], sum(dz)], strict=True):
        assert hand == pytest.approx(value, abs=1e-14)
        assert backward == pytest.approx(value, abs=1e-14)
    assert found(rf"L = .+ = {NUMBER}", text)[0] == pytest.approx(((a - 1) ** 2 + a**2) / 2, abs=1e-6)
    assert found(rf"step 5  w1 = .+ = {NUMBER}", text)[0] == pytest.approx(1 - 0.5 * dz[0], abs=1e-6)
    assert found(rf"largest difference between by hand and backward: {NUMBER}", text)[0] < 1e-15
    losses = found(rf"\n +\d+(?: +[+-]\d+\.\d+){{3}}  {NUMBER}", text)
    assert len(losses) == 5
    assert losses == sorted(losses, reverse=True)


def test_single_neuron_shows_why_the_claimed_result_is_out_of_reach(run):
    text = run("01_single_neuron.py")
    rows = found(rf"\n  ([01]), ([01]) +{NUMBER} +{NUMBER} +{NUMBER} +{NUMBER} +{NUMBER}", text)
    assert [row[:2] for row in rows] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    for _, _, w1, w2, b, invariant, far in rows:
        assert invariant == pytest.approx(-2.0, abs=1e-6)
        assert b - w1 - w2 == pytest.approx(-2.0, abs=1e-5)
        assert far > 0.3
    ends = found(rf"from b = {NUMBER}: w1 = {NUMBER}, w2 = {NUMBER}, b = {NUMBER}", text)
    assert ends[0] == pytest.approx((0, 5 / 6, 5 / 6, -1 / 3), abs=1e-3)
    assert ends[1] == pytest.approx((1, 0.5, 0.5, 0.0), abs=1e-3)


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_xor_reports_every_seed(run, engine):
    text = run("02_xor.py", "--engine", engine)
    rows = re.findall(rf"\n +(\d+) +{NUMBER}  {NUMBER}  {NUMBER}  {NUMBER} +{NUMBER} +{NUMBER} +(yes|NO)", text)
    assert [int(row[0]) for row in rows] == [0, 1, 2, 3]
    for _, *outputs, loss, _, verdict in rows:
        errors = [abs(float(value) - target) for value, target in zip(outputs, (0, 1, 1, 0), strict=True)]
        assert (verdict == "yes") == (max(errors) < 0.5)
        assert float(loss) == pytest.approx(sum(error**2 for error in errors) / 4, abs=2e-3)
    learned = sum(row[-1] == "yes" for row in rows)
    assert f"learned: {learned} of 4 seeds" in text
    assert learned >= 1


@pytest.mark.parametrize("engine", ["reference", "compiled"])
def test_symmetry_places_the_paper_in_the_distribution(run, engine):
    text = run("03_symmetry.py", "--engine", engine)
    assert "40 seeds at once, 64 patterns of which 8 symmetric" in text
    ((learned, seeds),) = found(r"within 0\.5: (\d+) of (\d+) seeds", text)
    assert seeds == 40
    assert 4 <= learned <= 36, "within 1,500 sweeps some have learned and some have not"
    least, most = found(rf"sweeps needed: 0% {NUMBER} .+ 100% {NUMBER}", text)[0]
    assert 300 < least < 1425
    assert most <= 1500
    assert found(rf"equal and opposite: within {NUMBER}%", text)[0] < 5.0
    assert found(rf"1 : 2 : 4 \(within 10 %\): {NUMBER}%", text)[0] > 80.0
    assert found(rf"median ratio: {NUMBER} : {NUMBER} : {NUMBER}", text)[0] == pytest.approx((1, 2, 4), rel=0.03)


def test_remedies_measure_what_theory_says(run):
    text = run("04_remedies.py", "--data", "digits")
    assert "digits: 1,438 images for training, 359 for testing; 30 layers of 64" in text
    names = ["sigmoid", "tanh", "ReLU", "ReLU, batch norm", "residual"]
    rows = found(rf"\n([\w, ]+?) +{NUMBER} +{NUMBER} +{NUMBER} +(\d\.\d+) ", text, str)
    assert [row[0] for row in rows] == names
    first, last, factor = ({row[0]: float(row[place]) for row in rows} for place in (1, 3, 4))
    assert 0.2 < factor["sigmoid"] < 0.25
    assert first["sigmoid"] < 1e-16 * last["sigmoid"]
    for name in ("tanh", "ReLU"):
        assert factor[name] == pytest.approx(1.0, abs=0.1)
    assert factor["ReLU, batch norm"] == pytest.approx(math.sqrt(math.pi / (math.pi - 1)), abs=0.1)
    assert 1.0 < factor["residual"] < factor["ReLU, batch norm"]
    low, high = (
        {row[0]: row[place] for row in found(rf"\n([\w, ]+?) +{RESULT} +{RESULT}(?=\n)", text, str)} for place in (1, 2)
    )
    assert [*low] == [*high] == names
    for at in (low, high):
        assert percent(at["sigmoid"]) < 20
        assert percent(at["residual"]) > 80
    assert percent(low["tanh"]) > 70
    for name in ("tanh", "ReLU"):  # which way they fail depends on the last digits
        assert percent(high[name]) < min(40, percent(low[name]))
    assert percent(high["ReLU, batch norm"]) > 25


@pytest.mark.parametrize("name", ["01_single_neuron", "02_xor", "03_symmetry"])
def test_without_matplotlib_only_the_picture_is_missing(tmp_path, name):
    (tmp_path / "matplotlib.py").write_text("raise ImportError\n")
    paths = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), "--quick"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("no figure, because matplotlib is not installed: pip install matplotlib\n")
    assert "Traceback" not in done.stderr


def test_remedies_say_how_to_get_the_images(tmp_path):
    command = [sys.executable, str(EXAMPLES / "04_remedies.py"), "--data-dir", str(tmp_path)]
    environment = {name: value for name, value in os.environ.items() if name != "CHAINRULE_DATA"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "apt install dataset-fashion-mnist" in done.stderr
    assert "--data digits" in done.stderr
    assert "Traceback" not in done.stderr


def test_remedies_fall_back_on_the_test_images(data_folder, run):
    text = run("04_remedies.py", "--data-dir", str(data_folder / "nowhere"))
    assert "fashion-mnist (10,000): 2,000 images for training, 2,000 for testing" in text
