"""The machine's dense limit: the fastest float32 matrix product of NumPy and torch, in GFLOP/s.

python -m benchmarks.dense [numpy|torch] THREADS     one library, as called by the parent
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.children import RIVAL_PYTHON_VARIABLE, environment
from benchmarks.workloads import ROOT

SIZES = (1024, 2048, 3072)
REPEATS = 8


def dense_limit(threads: int) -> dict[str, float]:
    """Best GFLOP/s of each library over square sizes; libraries that are not installed are skipped."""
    found = {}
    for library in ("numpy", "torch"):
        python = os.environ.get(RIVAL_PYTHON_VARIABLE, sys.executable)
        pins = {name: str(threads) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        command = [python, "-m", "benchmarks.dense", library, str(threads)]
        run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment(pins), check=False)
        if run.returncode == 0:
            found[library] = json.loads(run.stdout)
    return found


def measure(library: str, threads: int) -> float:
    """GFLOP/s of C = A·B, the best over sizes and repeats."""
    import numpy as np

    best = 0.0
    for n in SIZES:
        a = np.random.default_rng(0).random((n, n), dtype=np.float32)
        b, c = a.copy(), np.empty_like(a)
        product: Callable[[], Any]
        if library == "torch":
            import torch

            torch.set_num_threads(threads)
            ta, tb, tc = (torch.from_numpy(m) for m in (a, b, c))
            product = partial(torch.mm, ta, tb, out=tc)
        else:
            product = partial(np.matmul, a, b, out=c)
        for _ in range(REPEATS):
            start = time.perf_counter()
            product()
            best = max(best, 2e-9 * n**3 / (time.perf_counter() - start))
    return best


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
