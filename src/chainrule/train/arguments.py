"""Arguments that a trainer does not take, many from other libraries, and what to do instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import Parameter, signature
from typing import Any

from chainrule.data.names import nearest
from chainrule.errors import OptionError

OPTIMIZER = "the optimizer takes it: cr.Trainer(model, loss, optim.Adam(lr=1e-3))"
STOPPING = "pass callbacks=[cr.train.EarlyStopping(patience=10)]"
INSTEAD = {
    "validation_split": "write rows = cr.data.split_rows(len(x), validation=0.2, test=0, seed=0), then fit "
    "x[rows.train], y[rows.train] with validation_data=(x[rows.validation], y[rows.validation])",
    "class_weight": "the loss takes it: nn.CrossEntropyLoss(weight=[1.0, 2.0])",
    "initial_epoch": "leave it out, a further fit continues where the one before ended",
    "device": "leave it out, everything runs on the CPU",
    **dict.fromkeys(("lr", "learning_rate", "learning_rate_init", "weight_decay", "momentum", "betas"), OPTIMIZER),
    **dict.fromkeys(("patience", "early_stopping"), STOPPING),
}
SYNONYMS = {
    **dict.fromkeys(("n_epochs", "num_epochs", "max_epochs", "max_iter"), "epochs"),
    **dict.fromkeys(("validation", "val_data", "eval_set"), "validation_data"),
    **dict.fromkeys(("workers", "n_jobs", "num_threads"), "threads"),
    **dict.fromkeys(("random_state", "random_seed"), "seed"),
    **dict.fromkeys(("lr_scheduler", "scheduler"), "schedule"),
}


def refuse_unknown(place: str, given: Iterable[str], takes: Callable[..., Any], other: Callable[..., Any]) -> None:
    """Raise OptionError for the first of the `given` names, which the method `takes` does not take; `other` is the
    method of a trainer that may.
    """
    for name in given:
        meant, known = SYNONYMS.get(name, name), _names(takes)
        if meant in INSTEAD:
            fix = INSTEAD[meant]
        elif meant in _names(other):
            fix = f"pass {meant} to {'cr.Trainer' if place == 'fit' else 'fit'}"
        else:
            near = nearest(meant, known)
            fix = f"it takes {', '.join(known)}" if near is None else f"did you mean {near}?"
        raise OptionError(f"{place}: {name} is not an argument: {fix}")


def _names(method: Callable[..., Any]) -> list[str]:
    """What a method takes by name."""
    return [p.name for p in signature(method).parameters.values() if p.kind is not Parameter.VAR_KEYWORD][1:]
