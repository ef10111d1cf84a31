"""Compile every kernel in advance, so that no later run waits for one."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from typing import Any

import numpy as np

from chainrule import kernels, ops
from chainrule.kernels.updates import Update
from chainrule.native import load
from chainrule.native.handover import attend, complete, hand_out
from chainrule.native.kernel import KERNELS, Kernel, Pointwise
from chainrule.native.replay import replay
from chainrule.ops.record import OPS


def every_code(updates: Iterable[Update]) -> list[Kernel | Pointwise]:
    """Every kernel of the package and of `updates`, and the span of every pointwise rule in both its forms."""
    modules = [
        importlib.import_module(f"{package.__name__}.{module.name}")
        for package in (kernels, ops)
        for module in pkgutil.iter_modules(package.__path__)
    ]
    rules = [rule for op in OPS.values() for rule in (op.forward, *op.gradients.values()) if rule.scalar is not None]
    spans = [rule.span(in_place) for rule in rules for in_place in (False, True)]
    named = [value for module in modules for value in vars(module).values() if isinstance(value, Pointwise)]
    return [*KERNELS, *(kernel for update in updates for kernel in update.kernels), *spans, *named]


def warmup(updates: Iterable[Update], dtypes: Iterable[Any] = (np.float32,)) -> int:
    """Compile, or find in the cache, all code for these dtypes; returns how many pieces there are. Reports what it
    compiles. `updates` are those of the optimizers.
    """
    codes = [(code, np.dtype(dtype)) for dtype in dtypes for code in every_code(updates)]
    for part in (replay, attend, hand_out, complete):
        part()
    for code, dtype in codes:
        load.address(code, dtype)
    return len({load.symbol(code, dtype) for code, dtype in codes})
