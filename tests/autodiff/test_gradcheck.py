"""The gradient checker finds wrong gradients and passes right ones."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.autodiff.apply import apply
from chainrule.errors import DtypeError, GradcheckError
from chainrule.ops.record import OPS, op


@pytest.fixture
def wrong_op():
    """y = x², whose gradient rule forgets the 2 of its third element."""

    @op(formula="y = x²")
    def wrong_square(x):
        return x * x

    @wrong_square.shape
    def _(x):
        return x

    @wrong_square.gradient("x", formula="dx = 2x, but for one")
    def _(dy, x):
        factor = np.full(x.shape, 2.0)
        factor.flat[2:3] = 1.0
        return dy * factor * x

    yield wrong_square
    del OPS["wrong_square"]


def test_right_gradients_pass():
    x, w = cr.tensor([[0.5, -1.0]]), cr.tensor([[1.0], [2.0]])
    assert cr.gradcheck(lambda x, w: (x @ w).tanh(), (x, w)) is True
    assert cr.gradcheck(lambda x: (x * x, x.sum()), x)
    assert cr.gradcheck(lambda x: x * 0.0 + 1.0, np.zeros((2, 2)))


def test_inputs_may_be_empty_or_without_effect():
    assert cr.gradcheck(lambda x, y: x * 2.0, (np.zeros((0, 3)), np.ones(2)))


def test_only_inputs_that_require_gradients_are_checked_if_any_do(wrong_op):
    x, y = cr.tensor([1.0, 2.0, 3.0]), cr.tensor([1.0, 2.0, 3.0], requires_grad=True)
    assert cr.gradcheck(lambda x, y: apply(wrong_op, x) * y, (x, y))


def test_the_worst_element_is_shown(wrong_op):
    with pytest.raises(
        GradcheckError, match=r"1 of 9 .* output 0\[2\] for input 0\[2\]: backward gives 3.*differences 6"
    ):
        cr.gradcheck(lambda x: apply(wrong_op, x), cr.tensor([1.0, 2.0, 3.0]))


def test_nan_is_a_disagreement():
    with pytest.raises(GradcheckError, match="nan"):
        cr.gradcheck(lambda x: x.log(), cr.tensor([-1.0]))


def test_a_kink_is_found():
    with pytest.raises(GradcheckError):
        cr.gradcheck(lambda x: x.relu(), cr.tensor([0.0]))


def test_dropout_draws_the_same_mask_in_each_call():
    assert cr.gradcheck(lambda x: cr.functions.dropout(x, 0.5) * x, cr.tensor(np.arange(1.0, 13.0)))


def test_parameters_around_keep_their_gradients():
    w = cr.Parameter(np.ones(2))
    w.grad = np.full(2, 7.0)
    assert cr.gradcheck(lambda x: x * w, cr.tensor([1.0, 2.0]))
    assert w.grad.tolist() == [7.0, 7.0]


def test_the_inputs_stay_as_they_are():
    x = cr.tensor([1.0, 2.0], requires_grad=True)
    cr.gradcheck(lambda x: x.exp(), x)
    assert x.dtype == np.float32
    assert x.grad is None


def test_nothing_to_check_is_an_error():
    with pytest.raises(DtypeError, match="real"):
        cr.gradcheck(lambda x: x, (cr.tensor([1, 2]),))
