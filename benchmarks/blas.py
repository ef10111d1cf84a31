"""Matrix products by NumPy's BLAS in a separate process, whose thread count is fixed when it starts.

python -m benchmarks.blas       reads {"kind", "m", "k", "n", "repeats"} lines, writes seconds
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np

from benchmarks.children import environment
from benchmarks.workloads import ROOT

THREAD_VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


class Blas:
    """The parent's handle of one such process."""

    def __init__(self, threads: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.blas"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(dict.fromkeys(THREAD_VARIABLES, str(threads))),
        )

    def seconds(self, kind: str, m: int, k: int, n: int, repeats: int) -> float:
        """Seconds of one product, `repeats` of them timed together."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"kind": kind, "m": m, "k": k, "n": n, "repeats": repeats}) + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline()) / repeats

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


def operands(kind: str, m: int, k: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """The two factors of a layer's product for x (m, k), W (k, n), dy (m, n)."""
    rng = np.random.default_rng(0)
    x, w, dy = (rng.standard_normal(shape, np.float32) for shape in ((m, k), (k, n), (m, n)))
    return {"x·W": (x, w), "xᵀ·dy": (x.T, dy), "dy·Wᵀ": (dy, w.T)}[kind]


def main() -> None:
    """Reply to the parent until it closes stdin."""
    for line in sys.stdin:
        asked = json.loads(line)
        a, b = operands(asked["kind"], asked["m"], asked["k"], asked["n"])
        c = np.empty((a.shape[0], b.shape[1]), np.float32)
        np.matmul(a, b, out=c)
        start = time.perf_counter()
        for _ in range(asked["repeats"]):
            np.matmul(a, b, out=c)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
