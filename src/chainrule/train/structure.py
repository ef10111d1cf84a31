"""What a model consists of besides its parameters: a traced program is valid as long as this stays the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.autodiff.tape import fingerprint
from chainrule.autodiff.tensor import Buffer, Tensor
from chainrule.nn import Module

Known = tuple[Any, ...]


def structure(model: Module) -> list[Known]:
    """Everything in the attributes of a model and its layers that a trace may have read, for comparison with ==.

    Arrays and constant tensors are compared by value; parameters and buffers are not, because programs always read
    them; other objects are compared by class only. Modes are compared with the model's, which is switched as a whole.
    """
    return [
        (path, type(module), module.training == model.training, _attributes(vars(module)))
        for path, module in model.named_modules().items()
    ]


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
    if isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        return kind, repr(value)  # as text, since NaN is not equal to itself
    if isinstance(value, (list, tuple)):
        return kind, *map(_known, value)
    if isinstance(value, dict):
        return kind, *((repr(key), _known(item)) for key, item in value.items())
    return (kind, value) if callable(value) and not isinstance(value, Module) else (kind,)
