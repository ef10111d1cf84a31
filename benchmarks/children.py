"""Child processes: one interpreter for each peer, driven over pipes so that their runs can be interleaved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.peers import PEERS, Variant
from benchmarks.workloads import ROOT

RIVAL_PYTHON_VARIABLE = "CHAINRULE_BENCH_PYTHON"  # interpreter that has the other libraries, if not this one


class ChildError(RuntimeError):
    """A peer's process died or could not start; the message is its last output."""


def interpreter(peer: str) -> str:
    """The Python that runs `peer`: this one for chainrule, for other libraries the one that has them."""
    return sys.executable if PEERS[peer].ours else os.environ.get(RIVAL_PYTHON_VARIABLE, sys.executable)


def pin(threads: int) -> None:
    """Keep this process and all its children on the first `threads` processors it may use."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def environment(extra: dict[str, str], root: Path = ROOT) -> dict[str, str]:
    """This environment with the repository at `root` importable, and `extra` added."""
    paths = [str(root), str(root / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **extra}


class Child:
    """One peer in one variant on the workload saved in `data`, ready for the commands `check` and `run`; from another
    checkout if `root` names one.
    """

    def __init__(self, peer: str, variant: Variant, data: Path, log: Path, root: Path = ROOT) -> None:
        self.peer, self.variant, self.log = peer, variant, log
        command = [interpreter(peer), "-m", "benchmarks.worker", PEERS[peer].module, str(data)]
        with log.open("w") as words:
            self.process = subprocess.Popen(
                [*command, json.dumps(variant.settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
                text=True,
                cwd=root,
                env=environment(variant.environment, root),
            )
        self.ready = self._answer()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def check(self, steps: int) -> list[float]:
        """Losses of the first steps, for comparison between peers."""
        return list(self._ask(do="check", steps=steps)["losses"])

    def run(self, steps: int) -> dict[str, float]:
        """{"steps", "seconds", "loss"} of at least `steps` training steps."""
        return self._ask(do="run", steps=steps)

    def stop(self) -> int:
        """End the child; its peak resident bytes."""
        return int(self._ask(do="stop")["peak_rss"])

    def close(self) -> None:
        """End the process if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _ask(self, **command: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(command) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise self._death()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _death(self) -> ChildError:
        self.process.wait()
        words = self.log.read_text().strip().splitlines()
        return ChildError(f"{self.peer} ({self.variant.label}): {words[-1] if words else 'no message'}")
