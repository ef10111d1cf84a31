"""Coefficients of an update by its name, as its optimizer makes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.optim import SGD, Adagrad, Adam, AdamW, RMSprop

SETTINGS = {"lr": 1e-2, "weight_decay": 0.0, "momentum": 0.9, "alpha": 0.99, "eps": 1e-8, "beta1": 0.9, "beta2": 0.999}
KINDS: dict[str, Any] = {"rmsprop": RMSprop, "adagrad": Adagrad, "adam": Adam, "adamw": AdamW}


def coefficients(update: str, first: int, last: int, **settings: Any) -> Any:
    """The rows of steps `first` to `last` - 1, counted from 0; `lr` may be one number for each of them."""
    known = SETTINGS | settings
    known |= {"betas": (known.pop("beta1"), known.pop("beta2"))}
    if update.startswith("sgd"):
        momentum = 0.0 if update == "sgd" else known["momentum"]
        made = SGD(1.0, momentum, update == "sgd_nesterov", known["weight_decay"])
    else:
        kind = KINDS[update]
        made = kind(**{name: known[name] for name in kind.__dataclass_fields__ if name != "lr" and name in known})
    assert made.update.name == update
    steps = np.arange(first, last) + 1
    return made.coefficients(steps, np.broadcast_to(np.asarray(known["lr"], float), steps.shape))
