"""What this machine offers: the processor's vector width, its features, and how many processors we may use."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Processor:
    """The target of compilation; `vector_bytes` and `registers` set the microkernel's tile."""

    name: str
    features: str
    vector_bytes: int
    registers: int

    def lanes(self, dtype: np.dtype[Any]) -> int:
        """Elements of `dtype` in one vector."""
        return self.vector_bytes // dtype.itemsize

    def panel(self, dtype: np.dtype[Any]) -> int:
        """Columns of the microkernel's tile: two vectors."""
        return 2 * self.lanes(dtype)

    @property
    def tile_rows(self) -> int:
        """Rows of the microkernel's tile: two accumulators a row, leaving registers for B and one splat element of
        A."""
        return 12 if self.registers >= 32 else 6


@functools.cache
def processor() -> Processor:
    """The processor this process runs on: AVX-512, AVX2, or another with 16-byte vectors (NEON, SSE)."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    name, flat = llvm.get_host_cpu_name(), features.flatten()
    if all(features.get(f) for f in ("avx512f", "avx512vl", "avx512dq", "avx512bw")):
        return Processor(name, flat, 64, 32)
    if features.get("avx2") and features.get("fma"):
        return Processor(name, flat, 32, 16)
    return Processor(name, flat, 16, 32 if features.get("neon") else 16)


def usable_processors() -> int:
    """Processors this process may really use: the affinity mask, limited by the control group's quota."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        allowed = os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, _quota())))


def _quota(groups: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> float:
    """The processor quota in processors: the smallest of this process's control group and of those above it.

    Infinite if there is none. `membership` has a line "number:controllers:/path" for each hierarchy of groups.
    """
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:  # not Linux
        return math.inf
    quotas = [math.inf]
    for _, controllers, path in lines:
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = groups / "cpu" if controllers else groups  # version 1, or 2
        own = top / path.lstrip(
            "/"
        )  # in a container it may be the host's name, which is not there: then the top counts
        quotas += [_quota_of(folder) for folder in (own, *own.parents) if folder.is_relative_to(top)]
    return min(quotas)


def _quota_of(group: Path) -> float:
    """The quota of one control group, infinite if it has none."""
    with contextlib.suppress(OSError, ValueError):  # version 2
        quota, period = (group / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):  # version 1
        used, of = (int((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return math.inf if used <= 0 else used / of
    return math.inf
