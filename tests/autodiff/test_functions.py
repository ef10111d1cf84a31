"""Functions of tensors: one for every op, and the forms that are made of several."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.autodiff import functions as f
from chainrule.autodiff.tape import tracing
from chainrule.autodiff.tensor import symbol
from chainrule.errors import OptionError, ShapeError
from chainrule.ops.numbers import NUMBER_FIRST, NUMBER_LAST
from chainrule.ops.record import OPS

RNG = np.random.default_rng(0)


def real(*shape):
    return RNG.normal(size=shape)


def test_every_op_has_a_function_that_says_its_formulas():
    made = (*NUMBER_LAST.values(), *NUMBER_FIRST.values())
    numbers = {"scale", "shift", *(op.name for op in made)}  # what x * 2, x + 2 and others become
    ops = [op for op in OPS.values() if op.name not in numbers]
    assert [op.name for op in ops if not callable(getattr(f, op.name, None))] == []
    assert [op.name for op in ops if op.formulas not in getattr(f, op.name).__doc__] == []


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3, 4), (4, 5)),
        ((4,), (4, 5)),
        ((3, 4), (4,)),
        ((4,), (4,)),
        ((2, 3, 4), (4, 5)),
        ((2, 3, 4), (4,)),
        ((2, 3, 4), (2, 4, 5)),
        ((3, 4), (2, 4, 5)),
        ((2, 3, 4), (1, 4, 5)),
        ((4,), (2, 4, 5)),
        ((1, 2, 3, 4), (5, 1, 4, 2)),
        ((0, 4), (4, 5)),
        ((3, 0), (0, 5)),
    ],
)
def test_matmul_as_numpy(a, b):
    x, y = real(*a), real(*b)
    np.testing.assert_allclose(f.matmul(cr.tensor(x), cr.tensor(y)).data, x @ y, rtol=1e-12)
    if x.size and y.size:
        assert cr.gradcheck(f.matmul, (x, y))


def test_matmul_with_arrays_keeps_float32():
    w = cr.tensor(np.ones((2, 2), np.float32))
    assert (w @ np.ones(2)).dtype == (np.ones((3, 2)) @ w).dtype == np.float32


@pytest.mark.parametrize(
    ("a", "b"), [((3, 4), (5, 4)), ((4,), (5,)), ((), (4,)), ((2, 3, 4), (3, 4, 5)), ((2,), (3, 1))]
)
def test_matmul_of_wrong_shapes(a, b):
    with pytest.raises(ShapeError, match="matmul"):
        cr.tensor(real(*a)) @ cr.tensor(real(*b))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2])
def test_softmax_along_any_axis(axis):
    x = real(2, 3, 4)
    expected = np.exp(x) / np.exp(x).sum(axis, keepdims=True)
    np.testing.assert_allclose(f.softmax(x, axis).data, expected)
    np.testing.assert_allclose(f.log_softmax(x, axis).data, np.log(expected))
    assert cr.gradcheck(lambda x: f.softmax(x, axis) * 2.0, x)


@pytest.mark.parametrize("axis", [2, -3])
def test_softmax_along_no_axis(axis):
    with pytest.raises(ShapeError, match="axis"):
        f.softmax(real(2, 3), axis)


def test_softmax_of_a_number():
    with pytest.raises(ShapeError, match="softmax: x has shape \\(\\), expected a last axis"):
        f.softmax(cr.tensor(1.0))


def test_concatenate_any_number():
    parts = [real(2, n) for n in (1, 0, 3, 2, 1)]
    np.testing.assert_array_equal(f.concatenate(parts, axis=1).data, np.concatenate(parts, axis=1))
    np.testing.assert_array_equal(f.concatenate(parts[:1]).data, parts[0])
    assert cr.gradcheck(lambda *p: f.concatenate(p, axis=-1) ** 2, parts)
    with pytest.raises(ShapeError, match="no tensors"):
        f.concatenate([])
    with pytest.raises(ShapeError, match="concatenate"):
        f.concatenate([real(2, 3), real(3, 3)], axis=1)


def test_clip_without_limits():
    x = np.array([-2.0, 0.5, 2.0])
    assert f.clip(x, low=0).data.tolist() == [0.0, 0.5, 2.0]
    assert f.clip(x, high=1).data.tolist() == [-2.0, 0.5, 1.0]
    assert cr.tensor(x).clip(-1, 1).data.tolist() == [-1.0, 0.5, 1.0]


def test_numbers_on_either_side():
    x = cr.tensor([1.0, -2.0])
    assert f.maximum(x, 0.0).data.tolist() == [1.0, 0.0]
    assert f.minimum(0, x).data.tolist() == [0.0, -2.0]
    assert f.where(x > 0, x, 0.0).data.tolist() == [1.0, 0.0]
    assert f.where([True, False], 1.0, x).data.tolist() == [1.0, -2.0]
    assert (3.0 > x).data.tolist() == [1.0, 1.0]  # noqa: SIM300 - the reflected form


NUMBER_FORMS = {
    "x + c": lambda x, c: x + c,
    "c + x": lambda x, c: c + x,
    "x - c": lambda x, c: x - c,
    "c - x": lambda x, c: c - x,
    "x * c": lambda x, c: x * c,
    "x / c": lambda x, c: x / c,
    "c / x": lambda x, c: c / x,
    "max(x, c)": f.maximum,
    "max(c, x)": lambda x, c: f.maximum(c, x),
    "min(x, c)": f.minimum,
    "min(c, x)": lambda x, c: f.minimum(c, x),
    "where(x, c)": lambda x, c: f.where([[1, 0, 1], [0, 1, 1]], x, c),
    "where(c, x)": lambda x, c: f.where([[1, 0, 1], [0, 1, 1]], c, x),
    "x > c": lambda x, c: x > c,
    "c > x": lambda x, c: f.greater(c, x),
    "x >= c": lambda x, c: x >= c,
    "c >= x": lambda x, c: f.greater_equal(c, x),
    "x < c": lambda x, c: x < c,
    "c < x": lambda x, c: f.less(c, x),
    "x <= c": lambda x, c: x <= c,
    "c <= x": lambda x, c: f.less_equal(c, x),
    "x == c": lambda x, c: x == c,
    "c == x": lambda x, c: f.equal(c, x),
    "x != c": lambda x, c: x != c,
}


@pytest.mark.parametrize("function", NUMBER_FORMS.values(), ids=NUMBER_FORMS)
def test_a_number_is_what_an_array_full_of_it_is(function):
    values, c = [[0.75, -1.5, 0.3], [1.25, 2.0, np.nan]], 0.75  # one is a tie
    x, twin = cr.tensor(values, requires_grad=True), cr.tensor(values, requires_grad=True)
    y, expected = function(x, c), function(twin, np.full((2, 3), c, np.float32))
    np.testing.assert_array_equal(y.data, expected.data)
    assert y.requires_grad == expected.requires_grad
    if y.requires_grad:
        f.sum(y).backward()
        f.sum(expected).backward()
        np.testing.assert_array_equal(x.grad, twin.grad)


@pytest.mark.parametrize("function", NUMBER_FORMS.values(), ids=NUMBER_FORMS)
def test_a_number_fills_no_array(function):
    with tracing() as tape:
        function(symbol((2, 3), np.float32, "x"), 0.75)
    assert "broadcast" not in [node.op.name for node in tape.nodes]


def test_whole_numbers_are_compared_as_they_are():
    x = cr.tensor([2**24, 2**24 + 1])  # one number in float32
    assert (x == 2**24).data.tolist() == [1.0, 0.0]
    assert (2**24 < x).data.tolist() == [0.0, 1.0]  # noqa: SIM300 - the reflected form
    assert (cr.tensor([1, 2, 3]) >= 1.5).data.tolist() == [0.0, 1.0, 1.0]


def test_shapes_that_do_not_fit_name_the_op():
    with pytest.raises(ShapeError, match=r"add: shapes \(2,\) and \(3,\) do not fit"):
        cr.tensor(real(2)) + cr.tensor(real(3))
    with pytest.raises(ShapeError, match="equal"):
        f.equal(cr.tensor([1, 2]), cr.tensor([1, 2, 3]))


def test_constants_follow_the_dtype_of_what_has_a_gradient():
    x, weight = cr.tensor(np.zeros(4, np.float32)), cr.tensor(np.ones(4), dtype=np.float64)
    assert f.mean_squared(x, x, weight).dtype == np.float32
    assert f.where(weight, x, 1.0).dtype == np.float32
    assert (x + weight).dtype == np.float64
    with tracing():
        assert f.mean_squared(symbol((4,), np.float32, "x"), x, weight).dtype == np.float32


@pytest.mark.parametrize("slope", ["steep", None, [0.1], float("inf")])
def test_a_number_that_is_none_names_the_function_and_the_parameter(slope):
    with pytest.raises(OptionError, match=r"leaky_relu: slope is .*, expected a finite number"):
        f.leaky_relu([1.0], slope)
    with pytest.raises(TypeError, match=r"leaky_relu\(\) got an unexpected keyword argument 'steepness'"):
        f.leaky_relu([1.0], steepness=0.1)


IMAGE = np.ones((2, 4, 4, 4))


@pytest.mark.parametrize(
    "call",
    [
        lambda: f.conv2d(IMAGE, np.ones((3, 3, 4, 4)), groups=1.5),
        lambda: f.group_norm(IMAGE, "a", np.ones(4), np.ones(4)),
        lambda: f.zero_pad2d(IMAGE, (1, 2)),
        lambda: f.dropout(IMAGE, "a"),
        lambda: f.clip(IMAGE, "a"),
        lambda: f.sum(IMAGE, 0.5),
        lambda: f.softmax(IMAGE, 0.5),
        lambda: f.reshape(IMAGE, (1.5, -1)),
        lambda: f.transpose(IMAGE, (0, 1, 2, 3.5)),
        lambda: f.concatenate([IMAGE, IMAGE], 0.5),
        lambda: f.flatten(IMAGE, 0.5),
    ],
)
def test_settings_of_functions_are_checked(call):
    with pytest.raises(OptionError, match=r"\w+: \w+ is .*, expected"):
        call()


def test_losses_do_not_broadcast_and_keep_the_dtype():
    x, t = cr.tensor(np.zeros(4, np.float32)), np.ones((4, 1))
    for loss in (f.mean_squared, f.mean_absolute, f.huber, f.binary_cross_entropy):
        with pytest.raises(ShapeError, match=loss.__name__):
            loss(x, t)
        weighted = loss(x, t[:, 0], weight=[1, 2, 3, 4])
        assert (weighted.dtype, weighted.shape) == (np.float32, ())
    logits = cr.tensor(np.zeros((4, 3), np.float32))
    assert f.cross_entropy(logits, [0, 1, 2, 0], np.arange(4.0), [1, 2, 3]).dtype == np.float32
