"""Counter-based random numbers: Philox4x32-10, the same for any number of workers and in any order.

A block cipher turns a counter of four 32-bit words under a key of two into four random words, with no state in
between. The key is the seed; the counter says what the number is for:

    word 0          block: element // 4 (dropout), swap // 4 (shuffling), the sample's row (augmentation), or
                    sequence // 4 (drawing tokens)
    word 1          which stream: the ordinal of a dropout call, SHUFFLE, AUGMENT + the transformation's place, SAMPLE
    words 2, 3      the step (dropout, augmentation, drawing) or the epoch (shuffling), low word first

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.native.kernel import device

M0, M1 = 0xD2511F53, 0xCD9E8D57  # multipliers
W0, W1 = 0x9E3779B9, 0xBB67AE85  # what each round adds to the key
ROUNDS = 10
LOW = 0xFFFFFFFF  # the low half of 64 bits
SHUFFLE = LOW  # the last ordinal: no network has so many dropout calls
MOST_TRANSFORMATIONS = 16
AUGMENT = SHUFFLE - MOST_TRANSFORMATIONS  # and those before it
SAMPLE = AUGMENT - 1


def split(number: int) -> tuple[int, int]:
    """The low and high 32-bit words of a 64-bit number; negative ones as two's complement."""
    return number & LOW, (number >> 32) & LOW


def philox(counter: Sequence[ArrayLike], key: Sequence[ArrayLike]) -> NDArray[np.uint32]:
    """Random words for each counter: shape (..., 4), where (...) is the shape the counter's words broadcast to.

    Words are 32-bit values of any integer dtype. Example: `philox((0, 0, 0, 0), (0, 0))[0] == 0x6627e8d5`.
    """
    # 64-bit arithmetic holds the whole product of two words.
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = (np.asarray(word, np.uint64) for word in key)
    m0, m1, w0, w1, low, half = (np.uint64(number) for number in (M0, M1, W0, W1, LOW, 32))
    for _ in range(ROUNDS):
        p0, p1 = c0 * m0, c2 * m1
        c0, c1, c2, c3 = (p1 >> half) ^ c1 ^ k0, p1 & low, (p0 >> half) ^ c3 ^ k1, p0 & low
        k0, k1 = (k0 + w0) & low, (k1 + w1) & low
    words = np.empty((*np.broadcast_shapes(c0.shape, c1.shape, c2.shape, c3.shape), 4), np.uint32)
    for lane, word in enumerate((c0, c1, c2, c3)):
        words[..., lane] = word
    return words


@device
def philox_block(c0: int, c1: int, c2: int, c3: int, k0: int, k1: int) -> Any:
    """The four random words of one counter, for kernels; equal to `philox`.

    The rounds are written out: a loop inside the caller's loop over blocks would keep that from vectorizing.
    """
    c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, k0, k1)
    c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, k0 + W0, k1 + W1)
    c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, k0 + 2 * W0, k1 + 2 * W1)
    c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, k0 + 3 * W0, k1 + 3 * W1)
    c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, k0 + 4 * W0, k1 + 4 * W1)
    c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, k0 + 5 * W0, k1 + 5 * W1)
    c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, k0 + 6 * W0, k1 + 6 * W1)
    c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, k0 + 7 * W0, k1 + 7 * W1)
    c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, k0 + 8 * W0, k1 + 8 * W1)
    return philox_round(c0, c1, c2, c3, k0 + 9 * W0, k1 + 9 * W1)


@device
def philox_round(c0: int, c1: int, c2: int, c3: int, k0: int, k1: int) -> Any:
    """One round, on words in signed 64-bit integers.

    Products are unsigned: LLVM may take the highest bit of a signed one of positive numbers for 0.
    """
    p0 = np.uint64(c0) * np.uint64(M0)
    p1 = np.uint64(c2) * np.uint64(M1)
    half, low = np.uint64(32), np.uint64(LOW)
    n0 = np.int64(p1 >> half) ^ c1 ^ (k0 & LOW)
    n2 = np.int64(p0 >> half) ^ c3 ^ (k1 & LOW)
    return n0, np.int64(p1 & low), n2, np.int64(p0 & low)
