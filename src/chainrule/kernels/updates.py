"""Optimizer updates: how parameters p move along their gradient g, over one flat block at a time.

An update is one rule in plain arithmetic, which reads the same for a number and for an array:

    @update(formula="b ← μb + g + λp,  p ← p - lr·b", flops=6)
    def sgd_momentum(p, g, b, /, lr, weight_decay, momentum):
        b = momentum * b + g + weight_decay * p
        return p - lr * b, b

Before the slash stand p, g and the states, which start at zero; the rule returns the new p and states. Behind the
slash stand the step's coefficients, which the optimizer computes in float64 and for many steps at once; what a rule
would compute of coefficients alone is a coefficient too. Where p, g and states are 0 the new ones must be finite, as
the blocks that hold parameters have gaps of zeros.

The rule on arrays is the definition. From the rule on numbers two kernels are generated: `step` overwrites p and
states, tile by tile, and `check` stops the program before it if a new value would not be finite. The check need not
try the rule on every element: nothing overflows, even in float32, where gradients, parameters and states are at most
LIMIT, coefficients at most MOST, and an eps (which is added to a divisor) at least TINY; tests/kernels/test_updates.py
checks that of every rule. As `step` notes when it leaves a value beyond LIMIT, the check of an ordinary step reads the
gradients alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.native.kernel import Kernel, device, generated, in_order, real
from chainrule.native.memory import Array
from chainrule.native.state import LARGE, STEP, STOP

TILE = 4096  # elements: p, g and two states of a tile take 64 KB in float32, and stay in the second-level cache
CHECK_TILE = 16384
LIMIT, MOST, TINY = 2.0**54, 64.0, 2.0**-50

Row = NDArray[np.float64]

# Of two products that are added the compiler rounds one and fuses the other with the sum. States are loaded first, for
# theirs to be fused.
STEP_KERNEL = """
def {name}(tile, {arrays}, c, state):
    first, last = tile * TILE, min(tile * TILE + TILE, p.size)
    {arrays} = {slices}
    {columns} = {coefficients}
    total = real(0)
    for i in range(p.size):
        {old} = {loads}
        {elements} = rule({operands})
        total += {total}
    if not total <= real(LIMIT):
        state[LARGE] = state[STEP]
"""

CHECK_KERNEL = """
def check_{name}(tile, {arrays}, c, state):
    first, last = tile * CHECK_TILE, min(tile * CHECK_TILE + CHECK_TILE, p.size)
    {arrays} = {slices}
    {columns} = {coefficients}
    total = real(0)
    for i in range(p.size):
        total += abs(g[i])
    if total <= real(LIMIT) and state[LARGE] != state[STEP] - 1 and {ordinary}:
        return
    finite = True
    for i in range(p.size):
        {old} = {loads}
        {new} = rule({operands})
        finite &= (abs(g[i]) < np.inf) & {finite}
    if not finite:
        state[STOP] = 1
"""


CHECKED_STEP_KERNEL = """
def checked_{name}(tile, {arrays}, c, state):
    check(tile, {arrays}, c, state)
    if state[STOP] == 0:
        step(tile, {arrays}, c, state)
"""


@dataclass(frozen=True, eq=False)
class Update:
    """One optimizer's rule. `flops` counts arithmetic operations per element.

    `step(tile, p, g, *states, c, state)`, `check` and, for blocks of at most TILE elements, `checked_step`, which is
    both, take the coefficients c in the order of `columns`, and the state words of the program.
    """

    name: str
    formula: str
    rule: Callable[..., tuple[Any, ...]]
    states: tuple[str, ...]
    columns: tuple[str, ...]
    flops: float

    def __call__(self, row: Row, *arrays: Array) -> tuple[Array, ...]:
        """The definition: the new (p, *states) of arrays (p, g, *states), with the coefficients `row`."""
        return self.rule(*arrays, *row.tolist())

    def __repr__(self) -> str:
        return f"<update {self.name}: {self.formula}>"

    @cached_property
    def step(self) -> Kernel:
        """The kernel that makes the update."""
        return self._kernel(STEP_KERNEL)

    @cached_property
    def check(self) -> Kernel:
        """The kernel that stops the program if the update would produce a non-finite value."""
        return self._kernel(CHECK_KERNEL)

    @cached_property
    def checked_step(self) -> Kernel:
        """The check and the update of a small block as one kernel, which saves such a network 5 % of a step."""
        return self._kernel(CHECKED_STEP_KERNEL, check=device(self.check.function), step=device(self.step.function))

    @property
    def kernels(self) -> tuple[Kernel, ...]:
        """All of them, for compiling ahead."""
        return self.check, self.step, self.checked_step

    def _kernel(self, template: str, **functions: Any) -> Kernel:
        arrays, new = ("p", "g", *self.states), ("p", *self.states)
        ordinary = [f"abs({c}) <= real(MOST)" for c in self.columns]
        ordinary += [f"{c} >= real(TINY)" for c in self.columns if c == "eps"]
        text = template.format(
            name=self.name,
            arrays=", ".join(arrays),
            slices=", ".join(f"{a}[first:last]" for a in arrays),
            columns=", ".join(self.columns) + ",",
            coefficients=", ".join(f"real(c[{i}])" for i in range(len(self.columns))) + ",",
            old=", ".join(f"old_{a}" for a in reversed(arrays)),
            loads=", ".join(f"{a}[i]" for a in reversed(arrays)),
            operands=", ".join((*(f"old_{a}" for a in arrays), *self.columns)),
            elements=", ".join(f"{a}[i]" for a in new) + ",",
            total=" + ".join(f"abs({a}[i])" for a in new),
            new=", ".join(f"new_{a}" for a in new) + ",",
            finite=" & ".join(f"(abs(new_{a}) < np.inf)" for a in new),
            ordinary=" and ".join(ordinary),
        )
        kinds = [*((a, "Real1") for a in arrays), ("c", "Float1"), ("state", "Int1")]
        known = {**functions, "rule": self.rule, "np": np, "real": real, "TILE": TILE, "CHECK_TILE": CHECK_TILE}
        known |= {"LIMIT": LIMIT, "MOST": MOST, "TINY": TINY, "LARGE": LARGE, "STEP": STEP, "STOP": STOP}
        return Kernel(generated(text, known), tuple(kinds))


UPDATES: dict[str, Update] = {}  # every update declared, for compiling ahead


def update(*, formula: str, flops: float) -> Callable[[Callable[..., tuple[Any, ...]]], Update]:
    """Decorator that turns a rule (p, g, *states, /, *columns) into an update and enters it in the table `UPDATES`."""

    def make(rule: Callable[..., tuple[Any, ...]]) -> Update:
        parameters = inspect.signature(rule).parameters.values()
        states = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_ONLY)[2:]
        columns = tuple(p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY)
        record = Update(rule.__name__, formula, in_order(rule), states, columns, flops)
        if record.name in UPDATES:
            raise TypeError(f"update {record.name} is defined twice")
        UPDATES[record.name] = record
        return record

    return make
