"""The history is a mapping of lists, one value an epoch."""

from __future__ import annotations

import json
import math

import pytest

from chainrule.train.history import History


def test_grows_by_one_or_many_epochs():
    history = History()
    assert (history.epochs, dict(history), history.last) == (0, {}, {})
    history.extend({"loss": [1.0], "lr": [0.1]})
    history.extend({"loss": [0.5, 0.25], "lr": [0.1, 0.05]})
    assert history.epochs == 3
    assert history["loss"] == [1.0, 0.5, 0.25]
    assert history.last == {"loss": 0.25, "lr": 0.05}
    assert list(history) == ["loss", "lr"]
    assert len(history) == 2
    assert "val_loss" not in history


def test_a_copy_is_plain_and_its_own():
    history = History()
    history.extend({"loss": [1.0]})
    copy = history.to_dict()
    assert json.loads(json.dumps(copy)) == {"loss": [1.0]}
    copy["loss"].append(2.0)
    assert history["loss"] == [1.0]


def test_a_metric_that_comes_or_goes_is_nan_where_it_was_not_measured():
    history = History()
    history.extend({"loss": [1.0, 2.0]})
    history.extend({"val_loss": [3.0]})
    assert math.isnan(history["loss"][2])
    assert math.isnan(history["val_loss"][0])
    assert history["val_loss"][2] == 3.0


def test_unknown_metric_names_those_there_are():
    history = History()
    with pytest.raises(KeyError, match="no epoch has ended"):
        history["loss"]
    history.extend({"loss": [1.0], "lr": [0.1]})
    with pytest.raises(KeyError, match="it has loss, lr"):
        history["val_loss"]


def test_metrics_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="a value for each epoch"):
        History().extend({"loss": [1.0], "lr": [1.0, 2.0]})


def test_repr_shows_the_last_epoch():
    history = History()
    assert repr(history) == "<History of 0 epochs>"
    history.extend({"loss": [0.123456]})
    assert repr(history) == "<History of 1 epochs: loss=0.1235>"
