"""chainrule: train neural networks by backpropagation on the CPU, with every gradient open to inspection.

    import chainrule as cr
    from chainrule import nn, optim

    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    trainer = cr.Trainer(model, loss=nn.CrossEntropyLoss(), optimizer=optim.Adam(lr=1e-3))
    history = trainer.fit(x, y, epochs=10)

Names are loaded lazily, so the import takes milliseconds and compiles nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chainrule import data, errors, interop, models, nn, optim, train
    from chainrule.autodiff import functions
    from chainrule.autodiff.gradcheck import gradcheck
    from chainrule.autodiff.random import seed
    from chainrule.autodiff.tape import no_grad
    from chainrule.autodiff.tensor import Parameter, Tensor, tensor
    from chainrule.interop.safetensors import load, save
    from chainrule.train.stream import Stream
    from chainrule.train.trainer import Trainer

__version__ = "0.1.0"

_HOMES = {
    "Parameter": "chainrule.autodiff.tensor",
    "Stream": "chainrule.train.stream",
    "Tensor": "chainrule.autodiff.tensor",
    "Trainer": "chainrule.train.trainer",
    "gradcheck": "chainrule.autodiff.gradcheck",
    "load": "chainrule.interop.safetensors",
    "no_grad": "chainrule.autodiff.tape",
    "save": "chainrule.interop.safetensors",
    "seed": "chainrule.autodiff.random",
    "tensor": "chainrule.autodiff.tensor",
}
_MODULES = {
    "data": "chainrule.data",
    "errors": "chainrule.errors",
    "functions": "chainrule.autodiff.functions",
    "interop": "chainrule.interop",
    "models": "chainrule.models",
    "nn": "chainrule.nn",
    "optim": "chainrule.optim",
    "train": "chainrule.train",
}

__all__ = [
    "Parameter",
    "Stream",
    "Tensor",
    "Trainer",
    "__version__",
    "data",
    "errors",
    "functions",
    "gradcheck",
    "interop",
    "load",
    "models",
    "nn",
    "no_grad",
    "optim",
    "save",
    "seed",
    "tensor",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(_MODULES[name])
    else:
        raise AttributeError(f"module 'chainrule' has no attribute {name!r}; it has {', '.join(__all__)}")
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
