"""Run the command line in this process and report when its first training step was done; started by `machine.py`.

    python -m benchmarks.first_step STARTED ARGUMENTS...     STARTED: time.time() when the parent started it

Writes {"first_step": seconds} to the file named by CHAINRULE_BENCH_REPORT.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

REPORT_VARIABLE = "CHAINRULE_BENCH_REPORT"


def main() -> int:
    """The command's exit status."""
    started = float(sys.argv[1])
    from chainrule.cli.main import main as command
    from chainrule.train import trainer

    run = trainer.Trainer.run
    report = Path(os.environ[REPORT_VARIABLE])

    def timed(self: trainer.Trainer, *arguments: Any) -> Any:
        losses = run(self, *arguments)
        if not report.exists():
            report.write_text(json.dumps({"first_step": time.time() - started}))
        return losses

    trainer.Trainer.run = timed  # type: ignore[method-assign, assignment]
    return command(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
