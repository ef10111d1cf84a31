"""What the harnesses against crashes share: child processes, their outcomes, and the record.

A child prints "right" when everything it checked was right. It dumps the stacks of all its threads when it crashes, or
when it has taken as long as a hang would; that is reported, not killed before `LONGEST`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.children import environment
from benchmarks.workloads import ROOT

REPORT, LONGEST = 600, 3600  # seconds: stacks are dumped, the child counts as hanging
WATCH = f"import faulthandler; faulthandler.enable(); faulthandler.dump_traceback_later({REPORT}, repeat=True)\n"


class Outcomes:
    """What became of each child, printed as it ends."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    @property
    def faults(self) -> dict[str, str]:
        """The children that did not end well."""
        return {name: outcome for name, outcome in self.found.items() if not outcome.startswith("right")}

    def add(self, name: str, outcome: str) -> None:
        self.found[name] = outcome
        print(f"{name}: {outcome}", flush=True)

    def end(self) -> None:
        """Print the sum; exits with 1 if there were faults."""
        print(f"{len(self.found)} processes, {len(self.faults)} faults")
        if self.faults:
            sys.exit(1)


def run_child(program: str, *arguments: Any, extra: dict[str, str] | None = None) -> str:
    """The last line that a Python program prints, or how it ended."""
    command = [sys.executable, "-c", WATCH + program, *map(str, arguments)]
    settings = {"capture_output": True, "text": True, "cwd": ROOT, "env": environment(extra or {})}
    try:
        child = subprocess.run(command, timeout=LONGEST, **settings)
    except subprocess.TimeoutExpired as error:
        return f"hangs: {str(error.stderr)[-3000:]}"
    lines = child.stdout.strip().splitlines()
    if child.returncode == 0 and lines and lines[-1].startswith("right"):
        return lines[-1] + (" (slow)" if "Timeout (" in child.stderr else "")
    return f"ended with {child.returncode}: {child.stderr[-3000:]}"


def keep(name: str, outcomes: Outcomes, figures: dict[str, Any], folder: Path | None = None) -> None:
    """Write the record `<date>-<name>.json`."""
    place = folder or Path(__file__).parent / "results"
    place.mkdir(parents=True, exist_ok=True)
    record = {**figures, "processes": len(outcomes.found), "faults": outcomes.faults}
    (place / f"{date.today()}-{name}.json").write_text(json.dumps(record, indent=1) + "\n")
