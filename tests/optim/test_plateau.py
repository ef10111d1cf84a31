"""The plateau schedule and the monitor under it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chainrule.errors import OptionError
from chainrule.optim.monitor import Monitor
from chainrule.optim.plateau import ReduceOnPlateau, watcher
from chainrule.optim.schedules import Cosine, LinearWarmup


def trace(schedule, values):
    result = []
    for value in values:
        schedule.observe(value)
        result.append(float(schedule(0)))
    return result


def test_reduces_after_more_than_patience_bad_epochs():
    schedule = ReduceOnPlateau(factor=0.5, patience=2)
    assert trace(schedule, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]) == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_an_improvement_starts_the_count_again():
    schedule = ReduceOnPlateau(factor=0.5, patience=1)
    assert trace(schedule, [1.0, 1.0, 0.9, 0.9, 0.9]) == [1, 1, 1, 1, 0.5]


def test_cooldown_epochs_do_not_count():
    schedule = ReduceOnPlateau(factor=0.5, patience=0, cooldown=2)
    assert trace(schedule, [1.0, 1.0, 1.0, 1.0, 1.0]) == [1, 0.5, 0.5, 0.5, 0.25]


def test_the_factor_has_a_floor():
    schedule = ReduceOnPlateau(factor=0.1, patience=0, min_factor=0.05)
    assert trace(schedule, [1.0, 1.0, 1.0, 1.0]) == [1, 0.1, 0.05, 0.05]


def test_accuracies_rise():
    schedule = ReduceOnPlateau("val_accuracy", factor=0.5, patience=0)
    assert trace(schedule, [0.5, 0.6, 0.7, 0.6]) == [1, 1, 1, 0.5]


def test_factor_holds_for_every_step_of_the_epoch():
    schedule = ReduceOnPlateau(factor=0.5, patience=0)
    trace(schedule, [1.0, 1.0])
    np.testing.assert_array_equal(schedule(np.arange(3)), [0.5, 0.5, 0.5])


def test_watcher_is_found_behind_a_warmup():
    plateau = ReduceOnPlateau()
    assert watcher(plateau) is plateau
    assert watcher(LinearWarmup(5, then=plateau)) is plateau
    assert watcher(LinearWarmup(5, then=Cosine(5))) is None
    assert watcher(None) is None
    assert watcher(lambda step: 1.0) is None


@pytest.mark.parametrize("name", ["val_accuracy", "auc", "val_f1", "r2", "precision", "recall", "top_k"])
def test_monitor_knows_which_metrics_rise(name):
    assert Monitor(name).mode == "max"
    assert Monitor("val_loss").mode == Monitor("mae").mode == "min"


def test_monitor_asks_for_more_than_min_delta():
    monitor = Monitor("loss", min_delta=0.1)
    assert [monitor.better(v) for v in (1.0, 0.95, 0.9, 0.89)] == [True, False, False, True]
    assert monitor.best == 0.89


def test_monitor_relative_to_negative_values():
    monitor = Monitor("loss", min_delta=0.1, relative=True)
    assert [monitor.better(v) for v in (-10.0, -10.5, -11.5)] == [True, False, True]


def test_infinity_is_never_better_and_does_not_stay_the_best():
    monitor = Monitor("loss", min_delta=1e-4, relative=True)
    assert [monitor.better(v) for v in (math.inf, 5.0, 4.0, -math.inf)] == [False, True, True, False]


def test_nan_is_never_better():
    monitor = Monitor("loss")
    assert not monitor.better(math.nan)
    assert monitor.better(1.0)
    assert not monitor.better(math.nan)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"factor": 1.0}, "factor is 1.0, expected a finite number, more than 0, less than 1"),
        ({"patience": -1}, "patience"),
        ({"threshold": math.nan}, "threshold"),
        ({"mode": "up"}, "mode is 'up', expected one of auto, min, max"),
        ({"min_factor": 2}, "min_factor"),
        ({"cooldown": 0.5}, "cooldown"),
    ],
)
def test_settings_without_meaning(settings, message):
    with pytest.raises(OptionError, match=message):
        ReduceOnPlateau(**settings)
