"""Random orders: whole, uniform, a function of seed and epoch alone, and the same in plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule.kernels.shuffle import permutation, permutations, shuffle
from chainrule.native.philox import split


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 64, 65, 1000])
def test_permutations_hold_every_position_once(n):
    orders = permutations(3, 0, 7, n)
    assert orders.shape == (7, n)
    assert orders.dtype == np.int64
    assert (np.sort(orders, axis=1) == np.arange(n)).all()


def test_an_order_depends_on_seed_and_epoch_alone():
    orders = permutations(11, 5, 4, 100)
    for i in range(4):
        assert (orders[i] == permutation(11, 5 + i, 100)).all()
    assert (permutation(11, 5, 100) != permutation(12, 5, 100)).any()
    assert (permutation(11, 5, 100) != permutation(11 + 2**32, 5, 100)).any()
    assert (permutation(11, 5, 100) != permutation(11, 5 + 2**32, 100)).any()


def test_orders_are_uniform():
    orders, counts = np.unique(permutations(1, 0, 24_000, 4), axis=0, return_counts=True)
    assert len(orders) == 24
    chi_squared = ((counts - 1000) ** 2 / 1000).sum()
    assert chi_squared < 49.7  # 23 degrees of freedom: one seed in a thousand exceeds it


def test_the_kernel_is_the_same_in_plain_python():
    seed, epoch = 2**63 - 5, 2**33 + 1
    orders = np.empty((3, 37), np.int64)
    for tile in range(3):
        shuffle.function(tile, orders, epoch, *split(seed))
    np.testing.assert_array_equal(orders, permutations(seed, epoch, 3, 37))
