"""Rows are shared out completely, once, by class, and the same way everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.data import split_rows
from chainrule.errors import DataError, OptionError


@given(
    n=st.integers(30, 300),
    validation=st.floats(0.1, 0.3),
    test=st.floats(0.1, 0.3),
    seed=st.integers(0, 2**64 - 1),
    classes=st.integers(0, 5),
)
def test_every_row_once(n: int, validation: float, test: float, seed: int, classes: int) -> None:
    labels = np.arange(n) * 7 % classes if classes else None
    split = split_rows(n, validation=validation, test=test, seed=seed, classes=labels)
    together = np.concatenate([split.train, split.validation, split.test])
    np.testing.assert_array_equal(np.sort(together), np.arange(n))
    assert len(split.validation) == round(validation * n)
    assert len(split.test) == round(test * n)
    for c in range(classes):
        assert (labels[split.train] == c).sum() >= 1
        assert abs((labels[split.test] == c).sum() - test * (labels == c).sum()) < 1


def test_the_split_is_fixed_for_ever() -> None:
    split = split_rows(20, validation=0.1, test=0.2, seed=3)
    assert split.validation.tolist() == [6, 13]
    assert split.test.tolist() == [1, 11, 18, 19]


def test_seeds_differ_and_repeat() -> None:
    one, again, other = (split_rows(100, validation=0.1, test=0.2, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.test, again.test)
    assert one.test.tolist() != other.test.tolist()


def test_a_class_of_one_row_is_trained_on() -> None:
    labels = np.array([0] * 50 + [1] * 49 + [2])
    split = split_rows(100, validation=0.1, test=0.2, seed=0, classes=labels)
    assert 99 in split.train


@pytest.mark.parametrize(("validation", "test"), [(-0.1, 0.2), (0.1, 1.0), (0.5, 0.5), (float("nan"), 0.1)])
def test_fractions_without_meaning(validation: float, test: float) -> None:
    with pytest.raises(OptionError, match="split"):
        split_rows(100, validation=validation, test=test, seed=0)


def test_too_few_rows() -> None:
    with pytest.raises(DataError, match="too few for a validation part"):
        split_rows(3, validation=0.1, test=0.3, seed=0)
    empty = split_rows(3, validation=0.0, test=0.0, seed=0)
    assert len(empty.train) == 3
    assert len(empty.test) == 0


def test_masked_classes_are_refused() -> None:
    masked = np.ma.masked_array([0, 1] * 10, mask=[True] + [False] * 19)
    with pytest.raises(DataError, match=r"split: classes: is a masked array that hides 1 of 20 values"):
        split_rows(20, validation=0.1, test=0.2, seed=0, classes=masked)
