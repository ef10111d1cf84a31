"""Compiling ahead: all code that is compiled is found, and lies where a change of it is noticed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests import patience

import chainrule
from chainrule.engine.warmup import every_code
from chainrule.native.kernel import Kernel
from chainrule.native.objects import SOURCES

PACKAGE = Path(chainrule.__file__).parent
PROGRAM = "from chainrule.engine.warmup import every_code; print(*(code.name for code in every_code([])))"


def test_every_kernel_and_pointwise_function_of_the_package_is_compiled_ahead() -> None:
    declared = set()
    for source in PACKAGE.rglob("*.py"):
        declared |= set(re.findall(r'^@kernel\ndef (\w+)|= Pointwise\(\s*"(\w+)"', source.read_text(), re.M))
    names = {kernel or pointwise for kernel, pointwise in declared}
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=patience.SECONDS, check=True
    )
    assert {"gemm", "convolve", "moments", "huber_slope"} <= names
    assert names <= set(found.stdout.split())


def test_compiled_code_lies_in_folders_that_the_store_counts() -> None:
    functions = [code.function if isinstance(code, Kernel) else code.scalar for code in every_code([])]
    modules = [function.__module__.split(".") for function in functions]
    assert {parts[1] for parts in modules if parts[0] == "chainrule"} <= set(SOURCES)  # not ops of other tests
