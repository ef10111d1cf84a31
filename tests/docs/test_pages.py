"""What the pages say to a newcomer holds: their links lead somewhere, their code runs, their commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "benchmarks" / "README.md"]
COMMANDS = ("train", "evaluate", "predict", "generate", "info", "warmup")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"(?:\]\(|src=\")([^)#\"]+)", page.read_text(encoding="utf-8")):
        assert re.match("https?://", link) or (page.parent / link).exists(), link


@pytest.mark.parametrize("page", ["README.md", "docs/guides/images.md"])
def test_the_code_of_a_page_runs_and_learns(page: str, tmp_path: Path) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(re.search(r"'accuracy': ([0-9.]+)", done.stdout)[1]) > 0.95
    if page == "README.md":
        assert "instructions" in done.stdout
        assert (tmp_path / "model.safetensors").exists()


def test_the_code_of_the_page_on_tables_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "guides" / "tables.md").read_text(encoding="utf-8")
    exec("\n".join(re.findall(r"```python\n(.*?)```", page, re.S)), {})
    prepared, measured, predicted = capsys.readouterr().out.splitlines()
    assert f"prints `{prepared}`" in page
    assert "'accuracy': 1.0" in measured
    assert f"prints `{predicted}`" in page


def test_the_code_of_the_page_on_sequences_learns(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "guides" / "sequences.md").read_text(encoding="utf-8")
    exec("\n".join(re.findall(r"```python\n(.*?)```", page, re.S)), {})
    learned, *_, written = capsys.readouterr().out.splitlines()
    assert learned == "True"
    assert f'# "{written}"' in page


def test_commands_and_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        shell = "\n".join([*re.findall(r"```\n(.*?)```", text, re.S), *re.findall(r"`([^`\n]+)`", text)])
        for command in re.findall(r"^chainrule (\w+)", shell, re.M):
            assert command in COMMANDS, page
        for target in re.findall(r"^make ([\w-]+)", shell, re.M):
            assert f"\n{target}:" in makefile, page
        for module in re.findall(r"BENCH=(\w+)", text):
            assert (ROOT / "benchmarks" / f"{module}.py").exists(), page
