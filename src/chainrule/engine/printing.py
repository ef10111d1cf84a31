"""A program as a table: phase by phase, one line per instruction with op, operands, shapes, tiles, cost, bytes."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence

from chainrule.engine.instruction import PHASES, Instruction

COLUMNS = ("", "op", "formula", "operands", "tiles", "flops", "bytes")
OP, FORMULA, OPERANDS = 1, 2, 3  # the columns that may be shortened
RIGHT = (0, 4, 5, 6)  # the columns of numbers
LEAST = 12  # minimum characters of a shortened column


def table(instructions: Sequence[Instruction], totals: Sequence[str], width: int | None = None) -> str:
    """All instructions as text, then `totals`; if lines would be longer than `width`, formulas and operands are
    shortened, then ops.
    """
    rows = [COLUMNS, *_rows(instructions)]
    widths = [max(map(len, column)) for column in zip(*(row for row in rows if len(row) > 1), strict=True)]
    if width is not None:
        _narrow(widths, width)
    lines = [row[0] if len(row) == 1 else _line(row, widths) for row in rows]
    for line in totals:
        lines += [line] if width is None else textwrap.wrap(line, max(width, LEAST), break_long_words=False)
    return "\n".join(lines)


def printed(instructions: Sequence[Instruction], totals: Sequence[str]) -> str:
    """The table as `print` shows it: as wide as the terminal, with a line on how to get the full table if it was
    shortened.
    """
    whole, width = table(instructions, totals), terminal_width()
    if width is None or max(map(len, whole.splitlines())) <= width:
        return whole
    return f"{table(instructions, totals, width)}\ncut to the width of the terminal: program.table() is complete"


def terminal_width() -> int | None:
    """The width of standard output if it is a terminal; None otherwise, for no limit."""
    try:
        is_terminal = sys.stdout.isatty()
    except (AttributeError, ValueError):  # it is missing, closed, or replaced by an object without terminals
        return None
    return shutil.get_terminal_size().columns if is_terminal else None


def _rows(program: Sequence[Instruction]) -> Iterator[tuple[str, ...]]:
    """The name of each phase, and the cells of its instructions."""
    number = 0
    for phase in PHASES:
        instructions = [i for i in program if i.phase == phase]
        kernels: dict[str, set[str]] = {}  # of each op; several distinguish the calls of one task
        for i in instructions:
            kernels.setdefault(i.name, set()).add(i.call.kernel.name)
        if instructions:
            yield (phase,)
        for i in instructions:
            yield (str(number), *_cells(i, several=len(kernels[i.name]) > 1))
            number += 1


def _cells(instruction: Instruction, *, several: bool) -> tuple[str, ...]:
    call = instruction.call
    name = f"{instruction.name} [{call.kernel.name}]" if several else instruction.name
    flops = f"{call.flops:,.0f}" if call.flops else "-"
    return name, instruction.formula, str(instruction.operands), str(call.tiles), flops, f"{instruction.bytes:,}"


def _narrow(widths: list[int], width: int) -> None:
    """Shorten columns to the space that numbers leave: formulas and operands, half each if both need more, and once
    these are at their minimum, the ops.
    """
    least = [min(LEAST, w) for w in widths]
    room = width - 2 * len(widths) - sum(w for i, w in enumerate(widths) if i in RIGHT)
    op = max(least[OP], min(widths[OP], room - least[FORMULA] - least[OPERANDS]))
    formula = min(widths[FORMULA], room - op - min(widths[OPERANDS], (room - op) // 2))
    operands = min(widths[OPERANDS], room - op - formula)
    for column, wanted in ((OP, op), (FORMULA, formula), (OPERANDS, operands)):
        widths[column] = max(least[column], wanted)


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
    shown = [c if len(c) <= w else f"{c[: w - 1]}…" for c, w in zip(cells, widths, strict=True)]
    padded = [c.rjust(w) if i in RIGHT else c.ljust(w) for i, (c, w) in enumerate(zip(shown, widths, strict=True))]
    return ("  " + "  ".join(padded)).rstrip()
