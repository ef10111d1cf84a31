"""What kernels that index with whole numbers share."""

from __future__ import annotations

from chainrule.native.kernel import Int, device


@device
def within(number: Int, below: Int) -> Int:
    """The number, or where it is outside 0 .. below - 1 the nearest that is not, to index with."""
    return min(max(number, 0), below - 1)
