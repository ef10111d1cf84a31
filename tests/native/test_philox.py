import time

import numpy as np
import pytest

from chainrule.native.philox import permutation, permutations, philox, philox_block, split

# The known answers published with the generator (Random123, kat_vectors, "philox4x32 10").
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(counter, key, expected):
    assert tuple(philox(counter, key)) == expected
    assert philox_block(*counter, *key) == expected


def test_the_block_for_kernels_equals_the_reference():
    words = np.random.default_rng(0).integers(0, 2**32, (50, 6))
    reference = philox(words[:, :4].T, words[:, 4:].T)
    assert [philox_block(*map(int, row)) for row in words] == [tuple(row) for row in reference]


def test_words_broadcast():
    words = philox((np.arange(5), 1, np.arange(3)[:, None], 0), (7, 8))
    assert words.shape == (3, 5, 4)
    assert words.dtype == np.uint32
    assert (words[2, 4] == philox((4, 1, 2, 0), (7, 8))).all()


@pytest.mark.parametrize(("number", "words"), [(0, (0, 0)), (2**33 + 5, (5, 2)), (-1, (2**32 - 1, 2**32 - 1))])
def test_split(number, words):
    assert split(number) == words


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


def test_shuffling_60000_rows_takes_under_5_ms():
    seconds = []
    for epoch in range(20):
        start = time.perf_counter()
        permutation(0, epoch, 60_000)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.005
