"""Table -> arrays: columns, classes, scaling, missing values; and one clear error for each mistake."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.data import Table, digits_table, load_digits, load_table, prepare
from chainrule.data.record import read_preparation
from chainrule.data.sources import default_target
from chainrule.errors import ChainruleError, DataError, LabelError, OptionError

N = 40


def table(**columns: Any) -> Table:
    rng = np.random.default_rng(0)
    made: dict[str, Any] = {"a": rng.normal(5, 3, N), "b": rng.normal(-1, 0.1, N), "y": np.arange(N) % 3 * 1.0}
    for name, values in columns.items():
        kind = object if isinstance(values[0], str) else np.float64
        made[name] = np.array([values[i % len(values)] for i in range(N)], dtype=kind)
    return Table("t.csv", made)


def test_scaled_by_the_training_rows_only() -> None:
    preparation, parts = prepare(table(), "y", seed=1)
    assert parts.x.dtype == np.float32
    train = parts.x[parts.split.train].astype(np.float64)
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(train.std(0), 1, atol=1e-5)
    raw = table().columns["a"][parts.split.train]
    assert preparation.inputs.scaling.mean[0] == pytest.approx(raw.mean(), rel=1e-12)


def test_constant_columns_are_centred() -> None:
    _, parts = prepare(table(c=[0.1], d=[1e9]), "y")
    np.testing.assert_allclose(parts.x[:, 2:], 0, atol=1e-15)


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        ([1.0, 2.0], "classify", (1, 2)),
        ([-1.0, 1.0], "classify", (-1, 1)),
        (["no", "yes"], "classify", ("no", "yes")),
        ([0.5, 1.5, 2.0], "regress", ()),
        (list(np.arange(N) * 1.0), "regress", ()),
        (["b", "10", "9"], "classify", ("10", "9", "b")),
    ],
)
def test_task_is_guessed(values: list[Any], task: str, classes: tuple[Any, ...]) -> None:
    preparation, parts = prepare(table(t=values), "t", drop=("y",))
    assert (preparation.task, preparation.classes) == (task, classes)
    if classes:
        assert [str(classes[i]) for i in parts.y] == [
            f"{v:g}" if isinstance(v, float) else v for v in table(t=values).columns["t"]
        ]


def test_quantities_are_scaled_and_scaled_back() -> None:
    price = np.random.default_rng(1).normal(300_000, 50_000, N)
    preparation, parts = prepare(table(price=price), "price")
    assert preparation.quantity is not None
    assert parts.y.shape == (N, 1)
    np.testing.assert_allclose(preparation.quantity.undo(parts.y)[:, 0], price, rtol=1e-6)


def test_missing_values() -> None:
    holes = table(a=[1.0, 2.0, 3.0, float("nan")])
    with pytest.raises(
        DataError,
        match=r'column "a" is missing 10 of 40 values, the first in row 4: missing="drop" .* missing="mean" fills them',
    ):
        prepare(holes, "y")
    preparation, parts = prepare(holes, "y", missing="mean")
    assert not np.any(parts.x[3::4, 0])  # the mean, scaled
    assert preparation.inputs.scaling.mean[0] == pytest.approx(np.nanmean(holes.columns["a"][parts.split.train]))
    _, parts = prepare(holes, "y", missing="drop")
    assert parts.data.rows == 30
    assert parts.data.notes == ("t.csv: 10 of 40 rows are missing some value and are left out",)


def test_gaps_in_rows_to_predict_are_told_or_refused() -> None:
    whole, nan = table(), float("nan")
    holes = Table("new.csv", {"a": np.array([1.0, nan, nan]), "b": np.array([nan, 2.0, 3.0])})
    filled, _ = prepare(whole, "y", missing="mean")
    assert filled.whole_rows(holes, with_target=False).notes == (
        'new.csv: 3 missing values become the mean of the training rows, in "a", "b"',
    )
    one = Table("new.csv", {"a": np.array([1.0, nan]), "b": np.ones(2)})
    assert filled.whole_rows(one, with_target=False).notes == (
        'new.csv: 1 missing value becomes the mean of the training rows, in "a"',
    )
    for policy in ("refuse", "drop"):
        with pytest.raises(DataError, match='or leave such rows out; a network trained with missing="mean" fills them'):
            prepare(whole, "y", missing=policy)[0].whole_rows(holes, with_target=False)


def test_a_missing_target_is_not_filled() -> None:
    holes = table(y=[0.0, 1.0, float("nan")])
    with pytest.raises(
        DataError, match='column "y" is missing 13 of 40 values, the first in row 3: missing="drop" leaves'
    ):
        prepare(holes, "y", missing="mean")
    assert prepare(holes, "y", missing="drop")[1].data.rows == 27


def test_gaps_among_truth_values_are_gaps() -> None:
    truths = table(t=["true", "NA", "false", "true"])
    with pytest.raises(DataError, match='column "t" is missing 10 of 40 values, the first in row 2'):
        prepare(truths, "t", task="regress")
    preparation, parts = prepare(truths, "t", task="regress", missing="drop")
    assert np.isfinite(parts.y).all()
    assert preparation.whole_rows(truths, with_target=True).rows == 30


def test_truth_values_are_numbers() -> None:
    _, parts = prepare(table(c=["True", "false", ""], d=["TRUE", "FALSE", "x"]), "y", drop=("d",), missing="mean")
    ones, zeros, filled = (set(parts.x[i::3, 2].tolist()) for i in range(3))
    assert max(zeros) < 0 < min(ones)
    assert filled == {0.0}
    assert prepare(table(t=["True", "False"]), "t")[0].classes == ("False", "True")


def test_later_tables_are_treated_alike() -> None:
    preparation, parts = prepare(table(t=["no", "yes"]), "t", missing="mean")
    again = read_preparation(json.loads(json.dumps(preparation.to_dict())))
    assert again.x(parts.data).tobytes() == parts.x.tobytes()
    assert again.y(parts.data).tobytes() == parts.y.tobytes()
    shuffled = Table("u.csv", dict(reversed(parts.data.columns.items())))
    assert again.x(shuffled).tobytes() == parts.x.tobytes()


def test_later_tables_may_lack_the_target_but_not_a_feature() -> None:
    preparation, parts = prepare(table(), "y")
    columns = dict(parts.data.columns)
    del columns["y"]
    assert preparation.whole_rows(Table("u.csv", columns), with_target=False).rows == N
    with pytest.raises(DataError, match=r'u\.csv: there is no column "y"'):
        preparation.whole_rows(Table("u.csv", columns), with_target=True)
    columns["A"] = columns.pop("a")
    with pytest.raises(DataError, match=r'there is no column "a": did you mean "A"\?'):
        preparation.whole_rows(Table("u.csv", columns), with_target=False)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            [1.0, float("nan")],
            'column "a" is missing 20 of 40 values, the first in row 2: fill them in, or leave such rows out',
        ),
        (["red"], 'column "a", row 1: "red" is text, expected a number: write it as a number, as in the table'),
        ([1.0, 1e100], 'column "a", row 2: 1e+100 is too far from the training values, which lie around 4'),
    ],
)
def test_mistakes_in_later_tables_name_no_option_of_training(values: list[Any], words: str) -> None:
    preparation, _ = prepare(table(), "y")
    with pytest.raises(DataError, match=re.escape(words)) as caught:
        preparation.x(preparation.whole_rows(table(a=values), with_target=False))
    assert "--" not in str(caught.value)


@pytest.mark.parametrize("values", [["no", "maybe"], [0.0, 7.0]])
def test_a_class_never_seen_is_named(values: list[Any]) -> None:
    preparation, _ = prepare(table(t=["no", "yes"] if isinstance(values[0], str) else [0.0, 1.0]), "t")
    wrong = table(t=values)
    with pytest.raises(LabelError, match=r'column "t", row 2: "(maybe|7)" is not one of the classes'):
        preparation.y(wrong)


def test_classes_of_text_may_look_like_numbers() -> None:
    preparation, _ = prepare(table(t=["1", "2", "x"]), "t")
    np.testing.assert_array_equal(preparation.y(table(t=[2.0, 1.0]))[:2], [1, 0])
    preparation, _ = prepare(table(t=["1234567", "x"]), "t")
    np.testing.assert_array_equal(preparation.y(table(t=[1234567.0])), 0)
    preparation, _ = prepare(table(t=[1.0, 2.0]), "t")
    with pytest.raises(LabelError, match='row 2: "x" is not one of the classes: known are 1, 2'):
        preparation.y(table(t=["1", "x"]))


WRONG: dict[str, tuple[Table, dict[str, Any], type[ChainruleError], str]] = {
    "unknown target": (table(), {"target": "z"}, DataError, 'there is no column "z"'),
    "unknown dropped column": (table(), {"drop": ("q",)}, DataError, 'there is no column "q"'),
    "text for a list": (table(), {"drop": "ab"}, OptionError, "expected a list of columns: use drop=['ab']"),
    "target dropped": (table(), {"drop": ("y",)}, OptionError, "is the target"),
    "no feature left": (table(), {"drop": ("a", "b")}, DataError, "no column is left"),
    "text feature": (table(c=["1", "x"]), {}, DataError, 'column "c", row 2: "x" is text, expected a number'),
    "infinite feature": (table(c=[1.0, np.inf]), {}, DataError, 'column "c", row 2: inf is not a finite number'),
    "infinite quantity": (table(y=[1.5, np.inf]), {"task": "regress"}, DataError, 'column "y", row 2: inf'),
    "several text features": (
        table(c=["x"], d=["y"], e=["1", "z"]),
        {},
        DataError,
        'column "c", row 1: "x" is text, expected a number: write it as a number, or leave the columns of text out '
        "with drop=['c', 'd', 'e']",
    ),
    "decimal comma": (table(c=["1,5"]), {}, DataError, "write decimals with a point, and thousands without a comma"),
    "huge feature": (
        table(c=[1.0, 1e200]),
        {},
        DataError,
        'column "c", row 2: 1e+200 is too large, 1e+150 is the most',
    ),
    "empty feature": (
        table(**{"c d": [np.nan]}),
        {},
        DataError,
        "has no value in any row: leave it out with drop=['c d']",
    ),
    "feature empty in training": (
        table(c=[*[np.nan] * (N - 1), 1.0]),
        {"missing": "mean", "test": 0.8},
        DataError,
        "column \"c\" has no value in any training row: leave it out with drop=['c']",
    ),
    "no whole row": (
        table(c=[np.nan, 1.0], d=[1.0, np.nan, np.nan, np.nan]),
        {"missing": "drop"},
        DataError,
        'every row is missing some value, most often that of "d"',
    ),
    "fractions as classes": (
        table(y=[1.0, 2.5]),
        {"task": "classify"},
        LabelError,
        'column "y", row 2: 2.5 is not a class label',
    ),
    "text as quantity": (table(y=["a", "b"]), {"task": "regress"}, DataError, 'column "y", row 1: "a" is text'),
    "one class": (table(y=[3.0]), {}, DataError, "one class only"),
    "too many classes": (table(y=[f"n{i}" for i in range(N)]), {}, DataError, "too many for classes"),
    "unknown task": (table(), {"task": "cluster"}, OptionError, 'task: "cluster" is unknown'),
    "unknown policy": (table(), {"missing": "men"}, OptionError, 'did you mean "mean"'),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes(case: str) -> None:
    data, options, kind, words = WRONG[case]
    options = {"target": "y", **options}
    with pytest.raises(kind, match=re.escape(words)):
        prepare(data, options.pop("target"), **options)


def test_digits() -> None:
    x, y = load_digits()
    assert (x.shape, x.dtype, y.dtype) == ((1797, 8, 8, 1), np.float32, np.int64)
    assert (x.min(), x.max()) == (0.0, 1.0)
    np.testing.assert_array_equal(np.bincount(y), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    digits = digits_table()
    np.testing.assert_array_equal(digits.columns["pixel_3_2"], x[:, 3, 2, 0] * 16)
    preparation, parts = prepare(digits, "digit")
    assert preparation.classes == tuple(range(10))
    np.testing.assert_array_equal(parts.y, y)


def test_digits_are_small_and_their_licence_is_there() -> None:
    import chainrule.data

    folder = Path(chainrule.data.__file__).parent
    assert (folder / "digits.npz").stat().st_size < 100_000
    assert "CC BY 4.0" in (folder / "digits.LICENSE.md").read_text()


def test_names_of_data() -> None:
    assert load_table("digits").source == "digits"
    assert default_target("digits", digits_table()) == "digit"
    assert default_target("t.npz", table()) == "y"
    with pytest.raises(DataError, match=r"--target COLUMN; the columns are a, b, y"):
        default_target("t.csv", table())
    with pytest.raises(DataError, match='neither a bundled data set nor a file: did you mean "digits"'):
        load_table("digit")


def test_real_tables(data_folder: Path) -> None:
    shapes = {"letter": ("lettr", 16, 26), "magic": ("class", 10, 2), "satimage": ("classes", 36, 6)}
    for name, (target, features, classes) in shapes.items():
        preparation, parts = prepare(load_table(str(data_folder / "tabular" / f"{name}.csv.gz")), target)
        assert (preparation.input_shape[0], len(preparation.classes)) == (features, classes)
        assert np.isfinite(parts.x).all()


def test_a_constant_quantity_is_refused() -> None:
    table = Table("t.csv", {"a": np.arange(30) / 7, "y": np.full(30, 2.5)})
    with pytest.raises(DataError, match=r't.csv: column "y" is 2.5 in every training row, .*: choose another target'):
        prepare(table, "y", task="regress")


def test_tiny_values_are_scaled() -> None:
    for unit in (1.0, 1e-30, 1e-200, 1e-300):
        table = Table("t", {"a": np.arange(20) * unit, "constant": np.full(20, unit), "y": ["p", "q"] * 10})
        x = prepare(table, "y", validation=0.0)[1].x
        assert 0.5 < x[:, 0].std() < 2.0
        assert not x[:, 1].any()
