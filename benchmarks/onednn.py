"""Single convolutions by torch's oneDNN, channels last, in a process whose thread count is fixed when it starts.

python -m benchmarks.onednn THREADS     reads {"layer", "rule", "repeats"} lines, writes seconds
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.children import RIVAL_PYTHON_VARIABLE, environment
from benchmarks.workloads import ROOT


class OneDnn:
    """The parent's handle of one such process."""

    def __init__(self, threads: int) -> None:
        python = os.environ.get(RIVAL_PYTHON_VARIABLE, sys.executable)
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.onednn", str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment({"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}),
        )

    def seconds(self, layer: tuple[int, ...], rule: str, repeats: int) -> float:
        """Seconds of one run of `rule` ("forward", "input gradient" or "weight gradient")."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"layer": layer, "rule": rule, "repeats": repeats}) + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline()) / repeats

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


def prepare(layer: list[int], rule: str) -> Callable[[], Any]:
    """A function that computes the rule once; `layer` is (images, size, in, out, kernel, stride, groups)."""
    import torch
    import torch.nn.functional as F  # noqa: N812 - torch's own name for it

    images, size, inputs, outputs, kernel, stride, groups = layer
    torch.manual_seed(0)
    x, w = torch.randn(images, inputs, size, size), torch.randn(outputs, inputs // groups, kernel, kernel)
    x, w = (t.contiguous(memory_format=torch.channels_last) for t in (x, w))
    pairs = [stride, stride], [kernel // 2, kernel // 2], [1, 1]

    def forward() -> Any:
        with torch.no_grad():
            return F.conv2d(x, w, None, *pairs, groups)

    if rule == "forward":
        return forward
    dy = torch.randn_like(forward())
    mask = [rule == "input gradient", rule == "weight gradient", False]
    return lambda: torch.ops.aten.convolution_backward(dy, x, w, None, *pairs, False, [0, 0], groups, mask)


def main(threads: int) -> None:
    """Reply to the parent until it closes stdin."""
    import torch

    torch.set_num_threads(threads)
    known: dict[str, Callable[[], Any]] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        key = f"{asked['layer']} {asked['rule']}"
        if key not in known:
            known = {key: prepare(asked["layer"], asked["rule"])}  # one at a time: memory
        known[key]()
        start = time.perf_counter()
        for _ in range(asked["repeats"]):
            known[key]()
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
