"""Series and their windows: in order, and without a look ahead."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data.series import Changes, Forecasts, as_series, walk_forward
from chainrule.data.tables import Table
from chainrule.errors import DataError, OptionError


def daily(rows: int, seed: int = 0, start: str = "2020-01-01") -> Table:
    rng = np.random.default_rng(seed)
    days = np.datetime64(start) + np.arange(rows)
    prices = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, rows)))
    return Table(
        "prices.csv", {"day": days.astype(str).astype(object), "close": prices, "volume": rng.normal(size=rows)}
    )


def test_rows_are_sorted_and_that_is_told() -> None:
    table = daily(30)
    shuffled = table.take(np.random.default_rng(1).permutation(30))
    series = as_series(shuffled, "day")
    assert np.array_equal(series.table.columns["close"], table.columns["close"])
    assert any("sorted" in note for note in series.notes)
    assert as_series(table, "day").notes == ()


def test_a_repeated_date_is_refused_and_groups_are_told_apart() -> None:
    one = daily(20)
    twice = Table(
        "prices.csv",
        {
            "name": np.array(["b"] * 20 + ["a"] * 20, object),
            "day": np.concatenate([one.columns["day"]] * 2),
            "close": np.concatenate([one.columns["close"], 2 * one.columns["close"]]),
        },
    )
    with pytest.raises(DataError, match=r'"day", row 21: 2020-01-01 occurs a second time, after row 1: .* --group'):
        as_series(twice, "day")
    series = as_series(twice, "day", "name")
    assert series.names == ("a", "b")
    assert series.bounds.tolist() == [0, 20, 40]
    assert np.array_equal(series.table.columns["close"][:20], 2 * one.columns["close"])
    forecasts = Forecasts.of(series, "close", length=4)
    assert not set(forecasts.rows.tolist()) & {*range(4), 19, *range(20, 24), 39}


def test_gaps_are_told() -> None:
    table = daily(30).take(np.r_[0:10, 15:30])
    (note,) = as_series(table, "day").notes
    assert "after 1 day, 1 of 24 times after more, at most 6 days (2020-01-10 to 2020-01-16)" in note


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("03/04/2013", 'row 3: "03/04/2013" is not a time: expected dates such as 2013-03-01'),
        ("2013-02-30", 'row 3: there is no date "2013-02-30"'),
        ("", 'row 3: "" is not a time'),
        ("2013-03-01T10:00Z", "is not a time"),
    ],
)
def test_what_is_no_date_is_refused_with_its_row(word: str, told: str) -> None:
    days = np.array(["2013-02-01", "2013-02-02", word], object)
    with pytest.raises(DataError, match=told):
        as_series(Table("prices.csv", {"day": days, "close": np.arange(3.0)}), "day")


def test_times_may_be_numbers_and_times_of_day() -> None:
    values = np.arange(5.0)
    assert as_series(Table("a.csv", {"t": values[::-1].copy(), "v": values}), "t").table.columns["v"].tolist() == [
        4.0, 3.0, 2.0, 1.0, 0.0,
    ]  # fmt: skip
    hours = np.array([f"2020-01-01 {hour:02}:00" for hour in range(5)], object)
    assert as_series(Table("a.csv", {"t": hours, "v": values}), "t").notes == ()
    with pytest.raises(DataError, match="nan is not a time"):
        as_series(Table("a.csv", {"t": np.array([1.0, np.nan]), "v": values[:2]}), "t")


@given(
    rows=st.integers(40, 120), length=st.integers(1, 6), horizon=st.integers(1, 4),
    validation=st.sampled_from([0.1, 0.2]), test=st.sampled_from([0.1, 0.3]),
)  # fmt: skip
def test_no_window_sees_what_comes_after_it(
    rows: int, length: int, horizon: int, validation: float, test: float
) -> None:
    table = daily(rows)
    forecasts = Forecasts.of(
        as_series(table, "day"), "close", ["volume"], length=length, horizon=horizon, validation=validation, test=test
    )
    close = np.log(table.columns["close"])
    x, y, split = forecasts.x, forecasts.y, forecasts.split
    assert sum(map(len, (split.train, split.validation, split.test))) == len(forecasts.rows) == len(x) == len(y)
    for window in (0, len(x) - 1):
        last = int(forecasts.rows[window])
        steps = np.diff(close[last - length : last + 1])
        np.testing.assert_allclose(forecasts.scaling.undo(x[window])[:, 0], steps, rtol=1e-4, atol=1e-7)
        change = close[last + horizon] - close[last]
        np.testing.assert_allclose(forecasts.goal.undo(y[window])[0], change, rtol=1e-4, atol=1e-7)
        level = forecasts.levels(y[window : window + 1], np.array([window]))
        np.testing.assert_allclose(level[0, 0], table.columns["close"][last + horizon], rtol=1e-4)
    ahead = forecasts.rows + horizon
    assert ahead[split.train].max() < ahead[split.validation].min()
    assert ahead[split.validation].max() < ahead[split.test].min()
    changed = {**table.columns, "close": table.columns["close"].copy()}
    begin = int(ahead[split.validation].min())
    changed["close"][begin:] *= 2.0
    again = Forecasts.of(
        as_series(Table("prices.csv", changed), "day"), "close", ["volume"], length=length, horizon=horizon,
        validation=validation, test=test,
    )  # fmt: skip
    assert np.array_equal(again.x[split.train], x[split.train])
    assert np.array_equal(again.y[split.train], y[split.train])


def test_walking_forward_tests_each_time_once_and_trains_on_the_past_alone() -> None:
    series = as_series(daily(200), "day")
    folds = list(walk_forward(series, "close", folds=4, length=5, horizon=1, test=0.4))
    tested = np.concatenate([fold.rows[fold.split.test] + 1 for fold in folds])
    assert tested.tolist() == list(range(120, 200))
    for fold in folds:
        assert fold.rows[fold.split.train].max() + 1 < fold.rows[fold.split.test].min() + 1
    with pytest.raises(OptionError, match="leave nothing to train on"):
        next(walk_forward(series, "close", folds=1, length=5, horizon=1, test=0.6))


def test_changes_are_relative_for_positive_columns_alone() -> None:
    values = np.array([[1.0, -1.0], [2.0, 3.0]])
    changes = Changes.of(values)
    assert changes.relative == (True, False)
    found = changes.between(values[:1], values[1:])
    np.testing.assert_allclose(found, [[np.log(2.0), 4.0]])
    np.testing.assert_allclose(changes.after(values[:1], found), values[1:])


def test_what_cannot_be_forecast_is_refused() -> None:
    table = daily(30)
    holes = {**table.columns, "close": table.columns["close"].copy()}
    holes["close"][7] = np.nan
    with pytest.raises(DataError, match=r'"close", row 8: no value at 2020-01-08'):
        Forecasts.of(as_series(Table("prices.csv", holes), "day"), "close", length=4)
    with pytest.raises(DataError, match="the longest series has 30 rows, too few for a window of 40"):
        Forecasts.of(as_series(table, "day"), "close", length=40)
    with pytest.raises(DataError, match="training part has no window"):
        Forecasts.of(as_series(table, "day"), "close", length=25)
    with pytest.raises(DataError, match="changes by 0 in every training step"):
        Forecasts.of(as_series(Table("p.csv", {**table.columns, "close": np.ones(30)}), "day"), "close", length=4)
    falling = {**table.columns, "close": table.columns["close"].copy()}
    falling["close"][29] = -1.0
    with pytest.raises(DataError, match=r'"close", row 30: -1 at 2020-01-30, but the column is above 0'):
        Forecasts.of(as_series(Table("p.csv", falling), "day"), "close", length=4)
    with pytest.raises(OptionError, match="leave nothing"):
        Forecasts.of(as_series(table, "day"), "close", validation=0.5, test=0.5)
