"""Random orders of the rows of a data set, a function of (seed, epoch) alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chainrule.native.direct import run
from chainrule.native.kernel import Int, Int2, kernel
from chainrule.native.philox import LOW, SHUFFLE, philox_block, split


@kernel
def shuffle(tile: Int, orders: Int2, first_epoch: Int, key_low: Int, key_high: Int) -> None:
    """Row `tile` becomes a random order of 0 .. n - 1.

    Each position, from the last, is swapped with one before it or itself, drawn as ⌊word·(i + 1)/2³²⌋, which is
    uniform to one part in 2³²/n. Source: Durstenfeld, "Algorithm 235: Random permutation", CACM 7 (1964).
    """
    order = orders[tile]
    for i in range(order.size):
        order[i] = i
    epoch = first_epoch + tile
    for block in range((order.size + 3) // 4):
        words = philox_block(block, SHUFFLE, epoch & LOW, (epoch >> 32) & LOW, key_low, key_high)
        for lane in range(4):
            last = order.size - 1 - (4 * block + lane)
            if last > 0:
                chosen = (words[lane] * (last + 1)) >> 32
                row = order[last]
                order[last] = order[chosen]
                order[chosen] = row


def permutations(seed: int, first_epoch: int, epochs: int, n: int) -> NDArray[np.int64]:
    """The orders of `epochs` epochs from `first_epoch` on: shape (epochs, n)."""
    orders = np.empty((epochs, n), np.int64)
    run(shuffle, epochs, orders, first_epoch, *split(seed))
    return orders


def permutation(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """A random order of 0 .. n - 1."""
    order: NDArray[np.int64] = permutations(seed, epoch, 1, n)[0]
    return order
