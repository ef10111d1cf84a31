"""Every row once an epoch; the order is a function of seed and epoch."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from chainrule.train.batches import Batches, all_rows


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 5), st.booleans())
def test_each_epoch_holds_each_row_once(samples, size, epochs, shuffle):
    batches = Batches(samples, min(size, samples), 3, shuffle)
    full, rest = batches.rows(2, epochs)
    assert full.dtype == rest.dtype == np.int64
    assert full.shape == (epochs * batches.full, batches.size)
    assert rest.shape == (epochs, batches.left)
    assert batches.steps == -(-samples // batches.size)
    for epoch in range(epochs):
        own = full[epoch * batches.full : (epoch + 1) * batches.full]
        order = np.concatenate([own.ravel(), rest[epoch]])
        assert sorted(order) == list(range(samples))
        if not shuffle:
            assert order.tolist() == list(range(samples))


def test_epochs_together_equal_epochs_one_by_one():
    batches = Batches(12, 4, 7, True)
    together, _ = batches.rows(5, 3)
    singly = np.concatenate([batches.rows(epoch, 1)[0] for epoch in (5, 6, 7)])
    np.testing.assert_array_equal(together, singly)
    assert not np.array_equal(together[:3], together[3:6])


def test_the_seed_decides_the_order():
    orders = [Batches(50, 10, seed, True).rows(0, 1)[0].ravel().tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_one_batch_of_everything_keeps_its_order():
    full, rest = Batches(4, 4, 0, True).rows(0, 3)
    assert full.tolist() == [[0, 1, 2, 3]] * 3
    assert rest.shape == (3, 0)
    assert full.flags.c_contiguous


def test_a_batch_of_all_rows_is_made_once():
    rows = all_rows(3)
    assert rows.tolist() == [[0, 1, 2]]
    assert all_rows(3) is rows
    assert not rows.flags.writeable
