"""Arguments that a trainer does not take: the error says what to do instead, and that works."""

from __future__ import annotations

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.errors import OptionError

X, Y = np.random.default_rng(0).normal(size=(20, 3)), np.arange(20) % 2
MODEL = nn.Linear(3, 2)


def make(**arguments):
    return cr.Trainer(MODEL, nn.CrossEntropyLoss(), optim.SGD(), engine="reference", **arguments)


def fit(**arguments):
    return make().fit(X, Y, **arguments)


@pytest.mark.parametrize(
    ("call", "name", "fix"),
    [
        (fit, "lr", r"optim\.Adam\(lr=1e-3\)\)$"),
        (fit, "class_weight", r"nn\.CrossEntropyLoss\(weight=\[1\.0, 2\.0\]\)$"),
        (fit, "epoch", r"did you mean epochs\?$"),
        (fit, "max_iter", r"did you mean epochs\?$"),
        (fit, "random_state", r"pass seed to cr\.Trainer$"),
        (fit, "metrics", r"pass metrics to cr\.Trainer$"),
        (fit, "patience", r"pass callbacks=\[cr\.train\.EarlyStopping\(patience=10\)\]$"),
        (fit, "zzz", r"it takes x, y, epochs, batch_size, validation_data, .*verbose$"),
        (make, "epochs", r"pass epochs to fit$"),
        (make, "learning_rate", r"the optimizer takes it"),
        (make, "clipnorm", r"did you mean clip_norm\?$"),
        (make, "device", r"leave it out"),
    ],
)
def test_an_unknown_argument_is_refused_with_the_one_that_was_meant(call, name, fix):
    with pytest.raises(OptionError, match=f"^(fit|Trainer): {name} is not an argument: .*{fix}"):
        call(**{name: 1})


def test_what_is_said_of_a_validation_split_works():
    with pytest.raises(OptionError, match="validation_split is not an argument") as error:
        fit(validation_split=0.2)
    _, _, code = str(error.value).partition("write ")
    rows = eval(code.partition(" = ")[2].partition(", then")[0], {"cr": cr, "x": X})
    assert "validation_data=(x[rows.validation], y[rows.validation])" in code
    history = make().fit(
        X[rows.train], Y[rows.train], epochs=1, validation_data=(X[rows.validation], Y[rows.validation])
    )
    assert len(history["val_loss"]) == 1


def test_other_advice_works():
    nn.CrossEntropyLoss(weight=[1.0, 2.0])
    fit(epochs=1, validation_data=(X, Y), callbacks=[cr.train.EarlyStopping(patience=10)])
