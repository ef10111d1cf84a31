"""The maximum resident memory of this process; `python -m benchmarks.peak MODULE` prints it after an import."""

from __future__ import annotations

import importlib
import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak() -> int:
    """Bytes. On Linux for this program only; elsewhere including what ran in the process before it."""
    if STATUS.exists():
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


if __name__ == "__main__":
    importlib.import_module(sys.argv[1])
    print(peak())
