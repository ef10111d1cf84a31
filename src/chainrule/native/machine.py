"""What this machine offers: the processor's vector width, its features, and how many processors we may use."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

GROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
SUPPOSED_MEMORY = 4 << 30  # where the system does not tell


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


def free_memory() -> int:
    """Bytes that this process may still take without pushing out other programs: what the system has left, within the
    limits of control groups and of `ulimit -v`.
    """
    left = [_free_of_system(), _free_addresses()]
    left += [_free_of_group(group) for group in _control_groups("memory")]
    return max(0, int(min(left)))


def _free_of_system() -> float:
    """Memory of the machine that no program uses, or all of it if that is all the system tells."""
    with contextlib.suppress(OSError, ValueError, LookupError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1])
    with contextlib.suppress(OSError, ValueError, AttributeError):  # macOS; there is no sysconf on Windows
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return SUPPOSED_MEMORY


def _free_addresses() -> float:
    """Addresses left to this process under `ulimit -v`."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # not on Windows

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            return limit - int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return math.inf


def _free_of_group(group: Path) -> float:
    """Memory left to one control group; what it holds of files that nobody uses counts as free."""
    for limit, used, unused in (
        ("memory.max", "memory.current", "inactive_file"),  # version 2
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        with contextlib.suppress(OSError, ValueError):  # a limit "max" is none
            counts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            taken = int((group / used).read_text()) - int(counts.get(unused, 0))
            return int((group / limit).read_text()) - taken
    return math.inf


def _quota(groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> float:
    """The processor quota in processors: the smallest of this process's control group and of those above it; infinite
    if there is none.
    """
    return min((_quota_of(group) for group in _control_groups("cpu", groups, membership)), default=math.inf)


def _control_groups(controller: str, groups: Path = GROUPS, membership: Path = MEMBERSHIP) -> Iterator[Path]:
    """The folders of this process's control group and of those above it.

    `membership` has a line "number:controllers:/path" for each hierarchy of groups.
    """
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:  # not Linux
        return
    for _, controllers, path in lines:
        if controllers and controller not in controllers.split(","):
            continue
        top = groups / controller if controllers else groups  # version 1, or 2
        # In a container it may be the host's name, which is not there: then the top counts.
        own = top / path.lstrip("/")
        yield from (folder for folder in (own, *own.parents) if folder.is_relative_to(top))


def _quota_of(group: Path) -> float:
    """The quota of one control group, infinite if it has none."""
    with contextlib.suppress(OSError, ValueError):  # version 2
        quota, period = (group / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    with contextlib.suppress(OSError, ValueError):  # version 1
        used, of = (int((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return math.inf if used <= 0 else used / of
    return math.inf
