"""What a call reads and writes, as printed programs show it: arrays by name and shape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chainrule.engine.blocks import Block
from chainrule.engine.graph import Task, Value
from chainrule.native.kernel import Call
from chainrule.native.memory import Shape, Storage, View

HIDDEN = ("state", "constant", "data")  # what is not the step's own


@dataclass(frozen=True)
class Operands:
    """The arrays a call reads and those it writes; one changed in place is both, under its old and its new name."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()

    @classmethod
    def of(cls, reads: Iterable[View], writes: Iterable[View] = ()) -> Operands:
        """These views under the names of their storages."""
        shown = ([_text(name_of(v), v.shape) for v in views if _is_shown(v)] for views in (reads, writes))
        return cls(*(tuple(dict.fromkeys(texts)) for texts in shown))

    def __str__(self) -> str:
        """`"x(32×64) 1.weight(64×128) 1.bias(128) -> relu(32×128)"`."""
        return " ".join((*self.reads, "->", *self.writes) if self.writes else self.reads)


class Naming:
    """Where values live and what they are called: one that is a view of another, under the other's name."""

    def __init__(self) -> None:
        self.views: dict[Value, View] = {}
        self.origins: dict[Value, Value] = {}  # of views

    def text(self, value: Value) -> str:
        """A value's name and shape, which its memory may have from the value before it."""
        view, origin = self.views[value], self.origins.get(value, value)
        return _text(origin.name if view.storage.kind == "arena" else name_of(view), value.shape)

    def operands(self, task: Task, calls: Sequence[Call]) -> list[Operands]:
        """For each call of a task, those of the task's values that it touches; scratch is written first, then read."""
        reads, writes = ([v for v in values if v in self.views] for values in (task.reads(), task.writes()))
        known = {_place(self.views[value]) for value in (*reads, *writes)}
        written: set[Storage] = set()
        found = []
        for call in calls:
            touched = {_place(view) for view in call.views()}
            scratch = {v.storage: v for v in call.views() if _is_shown(v) and _place(v) not in known}
            old = Operands.of(view for storage, view in scratch.items() if storage in written)
            new = Operands.of(view for storage, view in scratch.items() if storage not in written)
            before, after = self._touched(reads, touched), self._touched(writes, touched)
            found.append(Operands((*before, *old.reads), (*after, *new.reads)))
            written.update(scratch)
        return found

    def _touched(self, values: Iterable[Value], touched: set[tuple[Storage, str]]) -> tuple[str, ...]:
        """The values in these places."""
        shown = (v for v in values if _is_shown(self.views[v]) and _place(self.views[v]) in touched)
        return tuple(dict.fromkeys(map(self.text, shown)))


def _place(view: View) -> tuple[Storage, str]:
    return view.storage, name_of(view)


def _is_shown(view: View) -> bool:
    return view.size > 0 and view.storage.kind not in HIDDEN


def _text(name: str, shape: Shape) -> str:
    return f"{name}({'×'.join(map(str, shape)) or 1})"


def name_of(view: View) -> str:
    """What an array is called: a parameter by its path, its gradient and optimizer states after it."""
    storage = view.storage
    owner = storage.owner(view) if isinstance(storage, Block) else None
    if owner is None or storage.kind == "parameter":
        return owner or storage.name
    return f"d({owner})" if storage.kind == "gradient" else f"{storage.name}({owner})"
