"""The base class of layers: parameters and buffers by path, state, modes, and errors that name the layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from chainrule.autodiff.state import wholly
from chainrule.autodiff.tensor import Buffer, Parameter, Tensor, as_array
from chainrule.errors import DataError, DtypeError, ShapeError
from chainrule.native.memory import Array
from chainrule.nn.claims import alone

M = TypeVar("M", bound="Module")
R = TypeVar("R")
Watcher: TypeAlias = "Callable[[Module, Tensor], None]"

_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


class Module:
    """A layer or a network: a computation in `forward`, with parameters, buffers and layers kept in its attributes.

    They are found in attributes, and in lists, tuples and dicts kept there, in the order they were set; each has a path
    such as "encoder.0.weight". Parameters are learned; buffers are state that is saved but not learned.

    >>> class Gate(nn.Module):
    ...     def __init__(self, features):
    ...         self.inner = nn.Linear(features, features)
    ...     def forward(self, x):
    ...         return x * self.inner(x).sigmoid()
    >>> list(Gate(4).named_parameters())
    ['inner.weight', 'inner.bias']
    """

    training = True
    forward: Callable[..., Any]

    def __call__(self, *inputs: Any, **settings: Any) -> Any:
        """`forward` on tensors; arrays, also those in a tuple of states, become tensors of the parameters' dtype, the
        same array the same tensor. Settings are passed on as they are.

        A ShapeError names the layer's path.
        """
        if not hasattr(self, "forward"):
            raise DtypeError(f"{type(self).__name__}: a layer needs a method forward(self, x): add one")
        made = {id(value): self._input(value) for value in inputs}
        try:
            output = self.forward(*(made[id(value)] for value in inputs), **settings)
        except ShapeError as error:
            raise _located(self, error) from None
        if (watcher := _watcher.get()) is not None:
            watcher(self, output)
        return output

    def config(self) -> dict[str, Any]:
        """The arguments that rebuild this layer, without its weights; for printing and saving."""
        return {}

    def named_children(self) -> dict[str, Module]:
        """The layers directly inside, by name."""
        return {name: value for name, value in _members(vars(self)) if isinstance(value, Module)}

    def own_parameters(self) -> dict[str, Parameter]:
        """The parameters of this layer itself, not of layers inside it, by name."""
        return {name: value for name, value in _members(vars(self)) if isinstance(value, Parameter)}

    def own_buffers(self) -> dict[str, Buffer]:
        """The buffers of this layer itself, not of layers inside it, by name."""
        return {name: value for name, value in _members(vars(self)) if isinstance(value, Buffer)}

    def named_modules(self, path: str = "") -> dict[str, Module]:
        """This module and all modules inside it, by path, outer before inner. One that is used in several places has
        its first path.
        """
        return dict(self._places(path, {}).values())

    def named_parameters(self) -> dict[str, Parameter]:
        """All parameters by path, in order. One that is used in several places has its first path."""
        return {name: tensor for name, tensor in self._named_state().items() if isinstance(tensor, Parameter)}

    def named_buffers(self) -> dict[str, Buffer]:
        """All buffers by path, in the same way."""
        return {name: tensor for name, tensor in self._named_state().items() if isinstance(tensor, Buffer)}

    def parameters(self) -> list[Parameter]:
        return list(self.named_parameters().values())

    def train(self: M, mode: bool = True) -> M:
        """Switch this module and all modules inside it to training (or evaluation) mode; dropout is active in training
        only.
        """
        for module in self.named_modules().values():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Switch to evaluation mode."""
        return self.train(False)

    def astype(self: M, dtype: DTypeLike) -> M:
        """Convert every parameter and buffer to float32 or float64, and drop gradients."""
        if np.dtype(dtype) not in (np.float32, np.float64):
            raise DtypeError(
                f"{type(self).__name__}: parameters cannot be {np.dtype(dtype)}: choose float32 or float64"
            )
        for tensor in self._named_state().values():
            tensor.cast(np.dtype(dtype))
        return self

    def zero_grad(self) -> None:
        """Drop the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    def state_dict(self) -> dict[str, Array]:
        """A copy of every parameter and buffer, by path; each layer's parameters come before its buffers.

        While a trainer is at work in another thread, it waits for the end of a step or of a group of steps.
        """
        own = self._named_state()
        return alone(own.values(), lambda: {name: tensor.data.copy() for name, tensor in own.items()})

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Set parameters and buffers from arrays by path; without `strict`, only those present on both sides.

        Raises DataError for missing or unexpected names, ShapeError for shapes that do not fit; then nothing changes.
        """
        own = self._named_state()
        missing, unexpected = [n for n in own if n not in state], [n for n in state if n not in own]
        if strict and (missing or unexpected):
            lists = [("missing", missing), ("unexpected", unexpected)]
            found = "; ".join(f"{kind} are {', '.join(names)}" for kind, names in lists if names)
            raise DataError(
                f"{type(self).__name__}.load_state_dict: {found}: build the model the state was saved from, "
                "or pass strict=False"
            )
        arrays = {name: as_array(state[name]) for name in own if name in state}
        for name, array in arrays.items():
            if array.shape != own[name].shape:
                raise ShapeError(
                    f"{type(self).__name__}.load_state_dict: {name} has shape {array.shape}, "
                    f"this model's is {own[name].shape}: build the model with the sizes the state was saved with"
                )
        values = [(own[name], array) for name, array in arrays.items()]
        alone(own.values(), lambda: wholly(lambda: _set(values)))

    def __repr__(self) -> str:
        return self._text(self._places("", {}), "")

    def _text(self, places: dict[int, tuple[str, Module]], path: str) -> str:
        """For printing; a layer that is used again refers to its first place."""
        first, _ = places[id(self)]
        if first != path:
            return f"the same as {first}"
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.config().items())
        lines = [
            f"  {name}: {child._text(places, f'{path}.{name}' if path else name)}".replace("\n", "\n  ")
            for name, child in self.named_children().items()
        ]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"]) if lines else f"{type(self).__name__}({arguments})"

    def _places(self, path: str, found: dict[int, tuple[str, Module]]) -> dict[int, tuple[str, Module]]:
        """Adds this module and all modules inside it to `found`, by id, each with its path, unless they are there
        already.
        """
        if id(self) not in found:
            found[id(self)] = path, self
            for name, child in self.named_children().items():
                child._places(f"{path}.{name}" if path else name, found)
        return found

    def _named_state(self) -> dict[str, Parameter | Buffer]:
        """All parameters and buffers by path, in order; each once."""
        found: dict[str, Parameter | Buffer] = {}
        seen: set[int] = set()
        for path, module in self.named_modules().items():
            own: dict[str, Parameter | Buffer] = {**module.own_parameters(), **module.own_buffers()}
            for name, tensor in own.items():
                if id(tensor) not in seen:
                    seen.add(id(tensor))
                    found[f"{path}.{name}" if path else name] = tensor
        return found

    def _input(self, value: Any) -> Any:
        if value is None or isinstance(value, Tensor):
            return value
        if isinstance(value, tuple) and any(isinstance(part, (Tensor, np.ndarray)) for part in value):
            return tuple(map(self._input, value))
        return self._tensor(value)

    def _tensor(self, value: Any) -> Tensor:
        array = as_array(value)
        dtype = next((tensor.dtype for tensor in self._named_state().values()), array.dtype)
        return Tensor(array.astype(dtype, copy=False) if array.dtype.kind == "f" else array)


def switched(model: Module, training: bool, run: Callable[[], R], modules: Sequence[Module] | None = None) -> R:
    """The result of `run` while a model and all modules inside it are in training (or evaluation) mode; then each is
    restored, wherever a signal's exception comes: layers in different modes would make later results wrong.
    `modules` are all of them, if known.
    """
    if modules is None:
        modules = list(model.named_modules().values())
    before = [(module, module.training) for module in modules]
    try:
        if type(model).train is Module.train:
            for module in modules:
                module.training = training
        else:  # a class of the user's, which may keep some layers in evaluation mode
            model.train(training)
        return run()
    finally:
        wholly(lambda: _restore(before))


def _set(values: Sequence[tuple[Parameter | Buffer, Array]]) -> None:
    for tensor, array in values:
        if tensor.data.flags.writeable:
            tensor.data[...] = array  # in place: the array may be part of a trainer's block
        else:
            tensor.replace(array)  # the model was built without memory


def _restore(modes: list[tuple[Module, bool]]) -> None:
    for module, mode in modes:
        module.training = mode


def in_mode(model: Module, training: bool, run: Callable[[], R], modules: Sequence[Module] | None = None) -> R:
    """The same, except that if the model is in that mode already, layers in the other mode stay in it.

    `run` has a context of its own, so that what a signal's exception keeps from being undone (a trace) ends with it.
    """
    if model.training == training:
        return copy_context().run(run)
    return switched(model, training, lambda: copy_context().run(run), modules)


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Context in which `watcher(module, output)` is called after every call of a module, inner before outer."""
    before = _watcher.get()
    try:
        _watcher.set(watcher)
        yield
    finally:
        _watcher.set(before)


def _members(attributes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The parameters, buffers and modules among attributes, looking into lists, tuples and dicts."""
    for name, value in attributes.items():
        if isinstance(value, (Parameter, Buffer, Module)):
            yield name, value
        elif isinstance(value, (list, tuple)):
            yield from _members({f"{name}.{i}": item for i, item in enumerate(value)})
        elif isinstance(value, dict):
            yield from _members({f"{name}.{key}": item for key, item in value.items()})


def _located(module: Module, error: ShapeError) -> ShapeError:
    """The error with the path from `module` to the layer it occurred in: each layer adds the name of the layer inside
    it.
    """
    trail = vars(error).get("trail")
    if trail is None:
        reason, path = str(error), next(iter(module.own_parameters()), "")
    else:
        reason, layer, inner = trail
        name = next((name for name, child in module.named_children().items() if child is layer), "")
        path = ".".join(part for part in (name, inner) if part)
    op, separator, rest = reason.partition(": ")
    located = ShapeError(f'{op} "{path}": {rest}' if path and separator else reason)
    vars(located)["trail"] = (reason, module, path)
    return located
