"""What a model consists of besides its parameters: a traced program is valid as long as this stays the same."""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter, is_
from typing import Any

import numpy as np

from chainrule.autodiff.tape import fingerprint
from chainrule.autodiff.tensor import Buffer, Parameter, Tensor
from chainrule.nn import Module

Known = tuple[Any, ...]
FIXED = frozenset({bool, int, float, complex, str, bytes, Parameter, Buffer})  # one object, one meaning
SCALARS = (bool, int, float, complex, str, bytes, np.generic)
KIND = attrgetter("requires_grad", "dtype")
LISTS = "named_modules named_parameters named_buffers named_children own_parameters own_buffers".split()  # of a Module


def structure(model: Module) -> list[Known]:
    """Everything in the attributes of a model and its layers that a trace may have read, for comparison with ==.

    Arrays and constant tensors are compared by value; parameters and buffers are not, because programs always read
    them; other objects are compared by class only. Modes are compared with the model's, which is switched as a whole.
    """
    return [
        (path, type(module), module.training == model.training, _attributes(vars(module)))
        for path, module in model.named_modules().items()
    ]


class Snapshot:
    """The objects a model consists of. As long as it `holds`, `structure` and the parameters are the same.

    It compares objects by identity, which takes a tenth of the time; only arrays are compared by value. It may fail to
    hold although nothing has changed that matters, for example after a change of modes.
    """

    def __init__(self, model: Module) -> None:
        self.modules = tuple(model.named_modules().values())
        self._classes = [*map(type, self.modules)]
        self._dicts: list[dict[Any, Any]] = [*map(vars, self.modules)]  # their attributes, and dicts in those
        self._lists: list[list[Any]] = []
        self._changeable: list[tuple[Any, Known]] = []  # and what it was
        for attributes in self._dicts[:]:
            self._add(attributes.values())
        self._lengths, self._objects = self._found()
        self._parameters = model.parameters()
        self._kinds = self._found_kinds()
        replaced = [
            (m, name) for m in self.modules for name in LISTS if getattr(type(m), name) != getattr(Module, name)
        ]
        self._answers = [(list_of := getattr(module, name), list_of()) for module, name in replaced]

    def holds(self) -> bool:
        """Whether the model still consists of these objects."""
        lengths, objects = self._found()
        return (
            lengths == self._lengths
            and all(map(is_, objects, self._objects))
            and all(map(is_, map(vars, self.modules), self._dicts))
            and [*map(type, self.modules)] == self._classes
            and self._found_kinds() == self._kinds
            and all(_alike(list_of(), answer) for list_of, answer in self._answers)
            and all(_known(value) == known for value, known in self._changeable)
        )

    def _add(self, values: Iterable[Any]) -> None:
        """Note what may change inside of these values."""
        for value in values:
            if isinstance(value, (list, tuple)):
                if isinstance(value, list):
                    self._lists.append(value)
                self._add(value)
            elif isinstance(value, dict):
                self._dicts.append(value)
                self._add(value.values())
            elif type(value) not in FIXED and isinstance(value, (Tensor, np.ndarray, *SCALARS)):
                self._changeable.append((value, _known(value)))

    def _found(self) -> tuple[list[int], list[object]]:
        """The attributes of all modules, and what is in their lists and dicts, by name and value."""
        objects: list[object] = []
        for items in self._dicts:
            objects += items
            objects += items.values()
        for values in self._lists:
            objects += values
        return [*map(len, self._dicts), *map(len, self._lists)], objects

    def _found_kinds(self) -> list[object]:
        return [*map(KIND, self._parameters)]


def _alike(found: dict[str, Any], known: dict[str, Any]) -> bool:
    """Whether these are the same objects under the same names in the same order."""
    return [*found] == [*known] and all(map(is_, found.values(), known.values()))


def _attributes(attributes: dict[str, Any]) -> Known:
    return tuple((name, *_known(value)) for name, value in attributes.items() if name != "training")


def _known(value: Any) -> Known:
    kind = type(value)
    if isinstance(value, Buffer):
        return kind, id(value)  # programs refer to this very object
    if isinstance(value, Tensor):
        return (kind, *(() if value.varies or value.is_symbolic else _known(value.data)))
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return kind, value.shape, value.dtype, fingerprint(value)
    if isinstance(value, SCALARS):
        return kind, repr(value)  # as text, since NaN is not equal to itself
    if isinstance(value, (list, tuple)):
        return kind, *map(_known, value)
    if isinstance(value, dict):
        return kind, *((repr(key), _known(item)) for key, item in value.items())
    return (kind, value) if callable(value) and not isinstance(value, Module) else (kind,)
