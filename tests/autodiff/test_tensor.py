"""Tensors as values: what they hold, how they mix, what they refuse."""

import copy
import operator as op
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule.autodiff.tensor import Parameter, Tensor
from chainrule.errors import DataError, DtypeError, GraphError, OptionError, ShapeError


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        ([1.0, 2.0], np.float32),
        (3.5, np.float32),
        ([1, 2], np.int64),
        ([True, False], np.bool_),
        (np.ones(2, np.float64), np.float64),
        (np.ones(2, np.float16), np.float32),
        (np.ones(2, np.int8), np.int64),
        (np.ones(2, ">f4"), np.float64),
    ],
)
def test_dtype_of_data(data, dtype):
    assert cr.tensor(data).dtype == dtype


def test_dtype_on_request():
    assert cr.tensor([1, 2], dtype=np.float64).dtype == np.float64


def test_tensor_copies():
    array = np.zeros(3, np.float32)
    x = cr.tensor(array)
    array[0] = 1.0
    assert x.data[0] == 0.0


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ([[1.0], [1.0, 2.0]], DataError),
        (["a", "b"], DtypeError),
        ([1j], DtypeError),
        (None, DtypeError),
    ],
)
def test_refused_data(data, error):
    with pytest.raises(error):
        cr.tensor(data)


def test_whole_numbers_cannot_require_gradients():
    with pytest.raises(DtypeError, match=r"floats"):
        cr.tensor([1, 2], requires_grad=True)


def test_shape_facts():
    x = cr.tensor(np.zeros((2, 3, 4), np.float32))
    assert (x.shape, x.ndim, x.size, len(x), x.T.shape) == ((2, 3, 4), 3, 24, 2, (4, 3, 2))
    assert [part.shape for part in x] == [(3, 4), (3, 4)]


def test_python_values():
    x = cr.tensor([2.5])
    assert (float(x), int(x), bool(x), x.item(), f"{x:.1f}") == (2.5, 2, True, 2.5, "2.5")
    assert f"{x}" == "tensor([2.5])"
    with pytest.raises(ShapeError, match="item"):
        cr.tensor([1.0, 2.0]).item()
    with pytest.raises(ShapeError, match="neither true nor false"):
        bool(cr.tensor([1.0, 2.0]))
    with pytest.raises(ShapeError, match="no length"):
        len(cr.tensor(1.0))


def test_a_whole_number_is_an_index():
    x = cr.tensor([5.0, 7.0, 6.0])
    assert [5, 7, 6][x.argmax()] == x[x.argmax()].item() == 7.0
    with pytest.raises(DtypeError, match="index"):
        range(cr.tensor(2.0))


def test_numpy_reads_values_but_not_gradients_away():
    x = cr.tensor([1.0, 2.0])
    assert np.asarray(x).tolist() == [1.0, 2.0]
    assert np.array(x, dtype=np.float64, copy=True).dtype == np.float64
    x.requires_grad = True
    with pytest.raises(GraphError, match="lose the gradient"):
        np.asarray(x)
    with cr.no_grad():
        assert np.asarray(x).tolist() == [1.0, 2.0]
    with pytest.raises(TypeError):
        np.tanh(x)


def test_repr():
    assert repr(cr.tensor([1.0], requires_grad=True)) == "tensor([1.], requires_grad=True)"
    assert repr(cr.tensor([1], dtype=np.float64)) == "tensor([1.], dtype=float64)"
    assert repr(Parameter(np.ones(1))) == "parameter([1.], dtype=float64)"


def test_arithmetic_with_numbers_and_arrays_keeps_the_dtype():
    x = cr.tensor([1.0, 2.0])
    assert all(
        y.dtype == np.float32
        for y in (x + 1, 1 - x, x * 2.0, 2 / x, x**2, 2**x, x / 3, -x, x + np.ones(2), np.ones(2) * x, abs(x), +x)
    )
    np.testing.assert_allclose((1 - x).data, [0.0, -1.0])
    np.testing.assert_allclose((2 / x).data, [2.0, 1.0])
    np.testing.assert_allclose((2**x).data, [2.0, 4.0], rtol=1e-6)
    np.testing.assert_allclose((x ** cr.tensor([2.0, 3.0])).data, [1.0, 8.0], rtol=1e-6)
    np.testing.assert_allclose((np.array([5.0, 7.0]) - x).data, [4.0, 5.0])
    with pytest.raises(OptionError, match="base"):
        (-2.0) ** x


def test_float32_with_float64_gives_float64_and_gradients_of_each_dtype():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    y = cr.tensor(np.array([3.0, 4.0]), requires_grad=True)
    z = (x * y).sum()
    assert z.dtype == np.float64
    z.backward()
    assert x.grad.dtype == np.float32
    assert y.grad.dtype == np.float64


def test_whole_numbers_are_computed_with_as_reals():
    x = cr.tensor([1, 2])
    assert (x + 1).dtype == np.float32
    assert (x * cr.tensor([0.5, 0.5])).data.tolist() == [0.5, 1.0]
    assert x.mean().item() == 1.5


def test_division_by_zero_is_infinite_without_a_warning():
    x = cr.tensor([1.0, 0.0, -1.0])
    np.testing.assert_array_equal((x / 0).data, [np.inf, np.nan, -np.inf])
    np.testing.assert_array_equal((1 / x).data, [1.0, np.inf, -1.0])
    np.testing.assert_array_equal(x.log().data, [0.0, -np.inf, np.nan])


def test_comparisons_are_ones_and_zeros():
    x = cr.tensor([1.0, 2.0, 3.0], requires_grad=True)
    assert (x > 2).data.tolist() == [0.0, 0.0, 1.0]
    assert (x >= 2).data.tolist() == [0.0, 1.0, 1.0]
    assert (x < 2).data.tolist() == [1.0, 0.0, 0.0]
    assert (x <= 2).data.tolist() == [1.0, 1.0, 0.0]
    assert (x == 2).data.tolist() == [0.0, 1.0, 0.0]
    assert (x != 2).data.tolist() == [1.0, 0.0, 1.0]
    assert not (x > 2).requires_grad
    assert (x != None) is True  # noqa: E711
    assert (x == None) is False  # noqa: E711
    assert hash(x) == hash(x)


def test_whole_numbers_compare_exactly():
    big = 2**24
    assert (cr.tensor([big]) == cr.tensor([big + 1])).item() == 0.0
    assert (cr.tensor([1, 2]) == cr.tensor([1, 3])).mean().item() == 0.5


def test_gradient_flows_through_a_mask():
    x = cr.tensor([-1.0, 2.0], requires_grad=True)
    ((x > 0) * x).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        slice(1, None),
        (slice(None), 1),
        (0, slice(None, None, 2)),
        ...,
        (..., 0),
        (0, ..., slice(1, 3)),
        None,
        (slice(None), None, 1),
        (None, 0, ..., None),
    ],
)
def test_index_as_numpy(index):
    array = np.arange(24.0).reshape(2, 3, 4)
    x = cr.tensor(array, requires_grad=True)
    y = x[index]
    np.testing.assert_array_equal(y.data, array[index])
    (y * y).sum().backward()
    expected = np.zeros_like(array)
    expected[index] = 2 * array[index]
    np.testing.assert_array_equal(x.grad, expected)


@pytest.mark.parametrize("index", [3, (0, 0, 0, 0), [0, 1], (..., ...), np.array([True, False]), "a"])
def test_bad_index(index):
    with pytest.raises(ShapeError, match="slice_"):
        cr.tensor(np.zeros((2, 3, 4), np.float32))[index]


def test_in_place_without_gradients():
    x = cr.tensor([1.0, 2.0])
    alias, before = x.data, x
    x += 1
    x *= cr.tensor([2.0, 3.0])
    x -= np.array([1.0, 1.0])
    x /= 2
    x[0] = 7
    assert before is x
    assert alias.tolist() == [7.0, 4.0]
    with pytest.raises(ShapeError, match="in place"):
        x += np.ones((2, 2))
    with pytest.raises(ShapeError, match="in place"):
        x += np.ones(3)
    with pytest.raises(ShapeError, match=r"x\[i\] = v"):
        x[5] = 1.0
    with pytest.raises(ShapeError):
        x[0] = [1.0, 2.0]


def test_in_place_on_a_stretched_array_does_not_touch_its_source():
    x = cr.tensor([1.0])
    y = cr.functions.broadcast(x, (3,))
    y += 1
    assert y.data.tolist() == [2.0, 2.0, 2.0]
    assert x.data.tolist() == [1.0]


def test_in_place_on_a_leaf_needs_no_grad():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(GraphError, match="no_grad"):
        x += 1
    with pytest.raises(GraphError, match="no_grad"):
        x[0] = 1
    with cr.no_grad():
        x -= 0.5
        x[0] = 3.0
    assert x.data.tolist() == [3.0, 1.5]
    assert x.is_leaf


def test_adding_up_losses_stays_in_the_graph():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    total = cr.tensor(0.0)
    for _ in range(3):
        total += (x * x).sum()
    total.backward()
    assert x.grad.tolist() == [6.0, 12.0]


def test_data_can_be_replaced_by_its_like():
    x = cr.tensor([1.0, 2.0])
    x.data = np.array([3.0, 4.0])
    assert x.dtype == x.data.dtype == np.float32
    with pytest.raises(ShapeError, match="cannot replace"):
        x.data = np.zeros(3)


def test_copies_and_pickles_of_leaves():
    p = Parameter(np.ones(2), name="w")
    p.grad = np.zeros(2)
    q = copy.deepcopy(p)
    q.data[0] = 5.0
    assert isinstance(q, Parameter)
    assert (p.data[0], q.name, q.grad is p.grad) == (1.0, "w", False)
    r = pickle.loads(pickle.dumps(p))
    assert isinstance(r, Parameter)
    assert (r.requires_grad, r.dtype, q.dtype) == (True, np.float64, np.float64)
    for action in (copy.deepcopy, pickle.dumps):
        with pytest.raises(GraphError, match="leaf"):
            action(p * 2)


def test_parameters_keep_the_dtype_of_an_array():
    assert Parameter([1.0, 2.0]).dtype == Parameter(np.ones(2, np.float32)).dtype == np.float32
    assert Parameter(np.ones(2)).dtype == np.float64


def test_detach_shares_values_outside_of_the_graph():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    y = (x * 2).detach()
    assert not y.requires_grad
    assert y.is_leaf
    (y * x).sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]


def test_shape_methods():
    x = cr.tensor(np.arange(24.0).reshape(2, 3, 4))
    assert x.reshape(6, -1).shape == x.reshape((6, 4)).shape == (6, 4)
    assert x.reshape(-1).shape == x.flatten().shape == (24,)
    assert x.flatten(1).shape == (2, 12)
    assert x.transpose(0, -1, 1).shape == (2, 4, 3)
    assert x.sum(axis=(0, 2), keepdims=True).shape == (1, 3, 1)
    assert x.max(axis=-1).data.tolist() == x.data.max(axis=-1).tolist()
    assert x.argmax(axis=1).data.tolist() == x.data.argmax(axis=1).tolist()
    assert x.argmax(axis=1).dtype == np.int64
    assert x.mean(1).shape == (2, 4)
    with pytest.raises(ShapeError, match="reshape"):
        x.reshape(5, -1)


def test_tensor_is_exported():
    assert cr.Tensor is Tensor


def test_an_operator_of_an_array_and_a_tensor_is_the_tensor_s():
    x = cr.tensor([[0.5, 2.0]], requires_grad=True)
    a = np.array([[3.0], [4.0]], np.float32)
    (a * x).sum().backward()
    np.testing.assert_array_equal(x.grad, [[7.0, 7.0]])
    for operation in (op.add, op.sub, op.mul, op.truediv, op.pow, op.matmul, op.lt, op.le, op.gt, op.ge, op.eq, op.ne):
        for left in (a, np.float32(3), 3.0)[: 1 if operation is op.matmul else 3]:
            result = operation(left, x)
            assert isinstance(result, Tensor)
            np.testing.assert_allclose(result.data, operation(left, x.data), rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (np.tanh, r"tanh: takes no tensors: use x.tanh\(\), or give NumPy x.data"),
        (np.exp, r"exp: takes no tensors: use x.exp\(\)"),
        (np.cbrt, "cbrt: takes no tensors: use its own methods"),
        (np.add.reduce, "add: takes no tensors"),
        (lambda x: op.iadd(np.ones(2, np.float32), x), "add: takes no tensors"),
    ],
)
def test_functions_of_numpy_name_the_method_to_use(call, instead):
    with pytest.raises(DtypeError, match=rf"^np\.{instead}"):
        call(cr.tensor([1.0, 2.0]))
