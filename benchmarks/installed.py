"""Disk space of a distribution and everything it requires: `python -m benchmarks.installed NAME`."""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

from benchmarks.workloads import ROOT


def closure(name: str, seen: set[str] | None = None) -> set[str]:
    """The distribution and all it requires in this environment, without extras."""
    seen = set() if seen is None else seen
    key = re.sub(r"[-_.]+", "-", name).lower()
    if key in seen:
        return seen
    try:
        needs = metadata.requires(key) or []
    except metadata.PackageNotFoundError:  # for another system or Python version
        return seen
    seen.add(key)
    for need in needs:
        if "extra ==" not in need:
            closure(re.split(r"[^A-Za-z0-9._-]", need.strip(), maxsplit=1)[0], seen)
    return seen


def size(name: str) -> int:
    """Bytes of one distribution's files; an editable install of this repository counts its sources."""
    files = metadata.files(name) or []
    total = sum(
        path.stat().st_size
        for path in (Path(str(f.locate())) for f in files)
        if path.is_file() and path.suffix != ".pyc"
    )
    if name == "chainrule" and not any(f.suffix == ".py" and f.parts[0] == "chainrule" for f in files):
        total += sum(
            path.stat().st_size for path in (ROOT / "src").rglob("*") if path.is_file() and path.suffix != ".pyc"
        )
    return total


if __name__ == "__main__":
    print(sum(size(name) for name in closure(sys.argv[1])))
