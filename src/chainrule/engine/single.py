"""One rule of one op, compiled and run by itself, for the tests of every op and the kernel benchmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.autodiff.tensor import wrap
from chainrule.engine.graph import Graph, Task, Value
from chainrule.engine.instruction import Instruction
from chainrule.engine.lower import Lowering
from chainrule.engine.memory import allocate_storage
from chainrule.engine.program import Program
from chainrule.engine.team import Team
from chainrule.native.memory import Array, Shape, View
from chainrule.native.state import SEED, WORDS
from chainrule.ops.record import Op, Rule


class SingleRule:
    """A program of one rule. `outputs` are the arrays it writes; `run` recomputes them.

    operands: arrays (or None) in the order of the rule's parameters; shapes: of all results, y first,
    or the gradient first and then what its rule saves, None where that is not given.
    """

    def __init__(
        self,
        op: Op,
        rule: Rule,
        operands: Sequence[Array | None],
        attributes: Mapping[str, Any],
        shapes: Sequence[Shape | None],
        dtype: Any = np.float32,
        workers: int = 1,
        seed: int = 0,
    ) -> None:
        dtype = np.dtype(dtype)
        values = [None if a is None else _constant(a, dtype) for a in operands]
        results = [Value(shape, dtype, f"y{i}") for i, shape in enumerate(shapes) if shape is not None]
        saved = tuple(name for name, shape in zip(rule.saves, shapes[1:], strict=False) if shape is not None)
        task = Task(rule, op, results, values, dict(attributes), "forward", saved)
        graph = Graph([task], {}, {}, results[0])
        homes = {v: View(allocate_storage(v.size, dtype, "output", v.name), v.shape) for v in results}
        state = View(allocate_storage(WORDS, np.dtype(np.int64), "state", "state"), (WORDS,))
        state.numpy()[SEED] = seed
        calls = Lowering(graph, dtype, homes, state).calls
        instructions = [Instruction(call, "forward", rule.name, rule.formula) for call in calls]
        self.program = Program(instructions, dtype, state, workers)
        self.program.team = Team(workers, fixed=True)  # even if a user's program would be too small to share
        self.outputs = [homes[v].numpy() for v in results]

    def run(self, steps: int = 1, step: int = 0) -> list[Array]:
        """Compute the rule `steps` times, as steps numbered from `step`."""
        if self.program.instructions:
            self.program.run(steps, step + 1)  # no `begin` counts the step
        return self.outputs


def _constant(array: Array, dtype: np.dtype[Any]) -> Value:
    array = np.asarray(array)
    kind = np.dtype(np.int64) if array.dtype.kind in "iu" else dtype
    return Value(array.shape, kind, "x", "constant", wrap(np.ascontiguousarray(array, kind)))


def run_rule(
    op: Op,
    rule: Rule,
    operands: Sequence[Array | None],
    attributes: Mapping[str, Any],
    shapes: Sequence[Shape | None],
    dtype: Any = np.float32,
    workers: int = 1,
    seed: int = 0,
    step: int = 0,
) -> list[Array]:
    """The outputs of one rule in compiled form; see `SingleRule` for the arguments."""
    return SingleRule(op, rule, operands, attributes, shapes, dtype, workers, seed).run(1, step)
