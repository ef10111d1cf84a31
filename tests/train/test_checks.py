"""Each mistake in the data is one error that names the place, the row, and the cure."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chainrule.errors import DataError, DtypeError, LabelError, ShapeError
from chainrule.train.checks import check_inputs, check_labels, check_targets, check_weight, finite

F32 = np.dtype(np.float32)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int32, np.uint8, np.bool_, ">f8"])
def test_inputs_of_any_real_dtype_become_the_parameters(dtype):
    x = np.array([[0, 1], [1, 0]], dtype)
    result = finite("x", check_inputs("x", x), F32)
    assert result.dtype == F32
    assert result.flags.c_contiguous
    np.testing.assert_array_equal(result, [[0, 1], [1, 0]])


def test_inputs_in_order_are_not_copied():
    x = np.zeros((3, 2), np.float32)
    assert finite("x", check_inputs("x", x), F32) is x
    assert finite("x", check_inputs("x", [[1, 2]]), F32).shape == (1, 2)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([[1, 2], [3]], DataError, "x: rows have different lengths"),
        ([["a", "b"]], DtypeError, "x: row 0 is text, 'a'"),
        (np.array([["a"]], dtype=object), DtypeError, "row 0 is text"),
        (np.array([[None]]), DtypeError, "contains objects"),
        (np.array([[1j]]), DtypeError, "complex128, expected real numbers"),
        (np.array(["2020-01-01"], dtype="M8[D]"), DtypeError, "datetime64"),
        (3.0, ShapeError, "single number"),
        ([], DataError, "no samples"),
        (np.zeros((0, 4)), DataError, r"no samples, its shape is \(0, 4\)"),
        ([[1.0, 2.0], [math.nan, 1.0]], DataError, "row 1 holds nan"),
        ([[1.0], [2.0], [-math.inf]], DataError, "row 2 holds -inf"),
        ([[1.0], [1e300]], DataError, r"row 1 holds 1e\+300 \(too large for float32\)"),
    ],
)
def test_inputs_that_cannot_be_computed_with(x, error, message):
    with pytest.raises(error, match=message):
        finite("x", check_inputs("x", x), F32)


@pytest.mark.parametrize(
    "y", [[0, 2, 1], np.array([0, 2, 1], np.uint8), np.array([0.0, 2.0, 1.0]), np.array([0, 2, 1], np.uint64)]
)
def test_labels_become_int64(y):
    labels = check_labels("y", y, 3, (2, 3))
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 2, 1]


def test_one_label_for_a_sequence_of_outputs_tells_what_the_model_must_return():
    with pytest.raises(ShapeError, match=r"for one label per sample the model must return \(n, 3\)"):
        check_labels("y", [0, 1], 2, (1, 5, 3))


def test_labels_may_be_booleans_and_sequences():
    assert check_labels("y", [True, False], 2, (2, 2)).tolist() == [1, 0]
    assert check_labels("y", [[0, 1], [1, 2]], 2, (2, 2, 3)).shape == (2, 2)


@pytest.mark.parametrize(
    ("y", "error", "message"),
    [
        ([0, -1, 1], LabelError, "row 1 is -1, expected 0 to 2 as the model has 3 outputs"),
        ([0, 1, 3], LabelError, "row 2 is 3, expected 0 to 2"),
        ([0, math.nan, 1], LabelError, "row 1 is nan, expected whole numbers from 0 to 2"),
        ([0, 1, math.inf], LabelError, "row 2 is inf"),
        ([0, 2.5, 1], LabelError, "row 1 is 2.5"),
        (["cat", "dog", "cat"], LabelError, "row 0 is text, 'cat', .*np.unique"),
        (np.array(["cat", 1, 2], dtype=object), LabelError, "row 0 is text"),
        (np.array([None, 1, 2]), LabelError, "contains objects"),
        ([0, 1], ShapeError, "has 2 samples, the inputs have 3"),
        (1, ShapeError, "has 0 samples"),
        ([[0], [1], [2]], ShapeError, r"labels have shape \(3, 1\), expected \(3,\).*pass y.reshape\(3,\)"),
        (np.eye(3), ShapeError, r"convert one-hot rows to labels with y.argmax\(axis=-1\)"),
        ([[0, 1], [1, 1], [2, 2]], ShapeError, r"labels have shape \(3, 2\), expected \(3,\), one whole number"),
        ([2**63, 0, 0], LabelError, "row 0 is"),
    ],
)
def test_labels_that_are_none(y, error, message):
    with pytest.raises(error, match=message):
        check_labels("y", y, 3, (2, 3))


def test_targets_become_the_parameters_dtype():
    assert check_targets("y", [[1], [2]], 2, (2, 1), F32, unit=False).dtype == F32
    assert check_targets("y", [[True], [False]], 2, (2, 1), F32, unit=True).tolist() == [[1], [0]]


def test_targets_of_a_loss_of_ones_own_keep_their_kind():
    assert check_targets("y", [1, 2], 2, None, F32, unit=False).dtype == np.int64
    assert check_targets("y", np.zeros((2, 5)), 2, None, F32, unit=False).dtype == F32


@pytest.mark.parametrize(
    ("y", "unit", "error", "message"),
    [
        ([1.0, 2.0], False, ShapeError, r"shape \(2,\), the model's outputs have \(2, 1\): pass y.reshape\(2, 1\)"),
        ([[1.0, 2.0], [1.0, 2.0]], False, ShapeError, r"shape \(2, 2\), the model's outputs have \(2, 1\)$"),
        ([[1.0]], False, ShapeError, "has 1 samples, the inputs have 2"),
        ([[1.0], [math.nan]], False, DataError, "row 1 holds nan"),
        ([["a"], ["b"]], False, DtypeError, "row 0 is text"),
        ([[0.0], [2.0]], True, LabelError, "row 1 is 2, this loss expects targets from 0"),
        ([[-1.0], [1.0]], True, LabelError, "row 0 is -1"),
    ],
)
def test_targets_that_do_not_fit(y, unit, error, message):
    with pytest.raises(error, match=message):
        check_targets("y", y, 2, (2, 1), F32, unit=unit)


def test_weights():
    assert check_weight("w", None, 2, F32) is None
    assert check_weight("w", [1, 0], 2, F32).dtype == F32


@pytest.mark.parametrize(
    ("weight", "error", "message"),
    [
        ([1.0], ShapeError, r"w: has shape \(1,\), expected \(2,\), one weight per sample"),
        ([[1.0], [1.0]], ShapeError, r"has shape \(2, 1\)"),
        ([1.0, -1.0], DataError, "row 1 is -1, weights must be at least 0"),
        ([1.0, math.nan], DataError, "row 1 holds nan"),
        ([3e38, 3e38], DataError, "the sum of the weights is beyond float32: divide them by their mean"),
        ([0.0, 0.0], DataError, "every weight is 0"),
        (["a", "b"], DtypeError, "text"),
    ],
)
def test_weights_without_meaning(weight, error, message):
    with pytest.raises(error, match=message):
        check_weight("w", weight, 2, F32)
