"""A program as a table: phase by phase, one line per instruction with op, operands, shapes, tiles, cost, bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chainrule.native.kernel import Call
from chainrule.ops.record import View

if TYPE_CHECKING:
    from chainrule.engine.program import Program

WIDEST = 48  # characters of a formula, and of operands
COLUMNS = ("", "op", "formula", "operands", "tiles", "flops", "bytes")


def table(program: Program) -> str:
    """The whole program as text."""
    from chainrule.engine.program import PHASES, bytes_of

    rows: list[tuple[str, ...]] = []
    number = 0
    for phase in PHASES:
        instructions = [i for i in program.instructions if i.phase == phase]
        kernels: dict[str, set[str]] = {}  # of each op; several tell apart the calls of one task
        for i in instructions:
            kernels.setdefault(i.name, set()).add(i.call.kernel.name)
        if instructions:
            rows.append((phase,))
        for i in instructions:
            cost = f"{i.call.flops:,.0f}" if i.call.flops else "-"
            name = f"{i.name} [{i.call.kernel.name}]" if len(kernels[i.name]) > 1 else i.name
            cells = (str(number), name, _cut(i.formula), _cut(_operands(i.call)), str(i.call.tiles), cost)
            rows.append((*cells, f"{bytes_of(i.call):,}"))
            number += 1
    flops = sum(i.call.flops for i in program.instructions)
    full = [row for row in (COLUMNS, *rows) if len(row) == len(COLUMNS)]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    lines = [_line(COLUMNS, widths)]
    lines += [row[0] if len(row) == 1 else _line(row, widths) for row in rows]
    lines.append(
        f"{number} instructions, {flops:,.0f} flops a step, arena {program.arena_bytes:,} bytes at its peak, "
        f"parameters, gradients and states {program.block_bytes:,} bytes, "
        f"{program.workers} worker{'s' if program.workers > 1 else ''}, {program.dtype.name}"
    )
    if program.recomputed:
        lines.append(f"{len(program.recomputed)} values computed again to save memory: {', '.join(program.recomputed)}")
    return "\n".join(lines)


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    right = {0, 4, 5, 6}
    padded = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(cells, widths, strict=True))]
    return ("  " + "  ".join(padded)).rstrip()


def _operands(call: Call) -> str:
    """The arrays of a call by name and shape, where they are the step's own."""
    shown = []
    for argument in call.arguments:
        if isinstance(argument, View) and argument.buffer.kind not in ("state", "constant", "data"):
            text = f"{argument.buffer.name}({'×'.join(map(str, argument.shape))})"
            if text not in shown:
                shown.append(text)
    return " ".join(shown)
