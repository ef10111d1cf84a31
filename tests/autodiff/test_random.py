"""Seeds: equal ones give equal numbers, steps and calls differ."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.autodiff.random import generator, random_context
from chainrule.errors import OptionError
from chainrule.ops import dropout as dropping

ONES = cr.tensor(np.ones(1000, np.float32))


def masks(count=1):
    return [cr.functions.dropout(ONES, 0.5).data > 0 for _ in range(count)]


def test_a_context_repeats_its_calls():
    with random_context(1, 2):
        first, second = masks(2)
    with random_context(1, 2):
        again = masks(2)
    np.testing.assert_array_equal([first, second], again)
    assert (first != second).any()
    np.testing.assert_array_equal(first, dropping.mask((1000,), 0.5, 0, 1, 2))
    np.testing.assert_array_equal(second, dropping.mask((1000,), 0.5, 1, 1, 2))
    for seed, step in ((1, 3), (2, 2)):
        with random_context(seed, step):
            assert (masks()[0] != first).any()


def test_contexts_nest():
    with random_context(1, 0):
        outer = masks()[0]
        with random_context(9, 9):
            masks(3)
        inner = masks()[0]
    with random_context(1, 0):
        np.testing.assert_array_equal([outer, inner], masks(2))


def test_outside_of_a_context_calls_differ_and_seed_restarts():
    cr.seed(5)
    first, second = masks(2)
    assert (first != second).any()
    cr.seed(5)
    np.testing.assert_array_equal([first, second], masks(2))


def test_dropout_scales_and_evaluation_keeps():
    cr.seed(0)
    y = cr.functions.dropout(ONES, 0.25).data
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert 0.7 < (y > 0).mean() < 0.8
    assert cr.functions.dropout(ONES, 0.25, training=False) is ONES


def test_the_gradient_has_the_mask_of_the_forward_pass():
    x = cr.tensor(np.ones(1000, np.float32), requires_grad=True)
    y = cr.functions.dropout(x, 0.5)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, y.data)


def test_generators():
    assert generator(3).random() == generator(3).random()
    own = np.random.default_rng(0)
    assert generator(own) is own
    cr.seed(1)
    first = generator().random()
    cr.seed(1)
    assert generator().random() == first


@pytest.mark.parametrize("bad", [-1, 2**64, 1.5, "a", None, True])
def test_bad_seeds(bad):
    with pytest.raises(OptionError, match="seed"):
        cr.seed(bad)
