import numpy as np
import pytest

from chainrule.native.philox import philox, philox_block, split

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
