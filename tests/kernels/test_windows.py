"""Windows along one axis against what their definition says, position by position and tap by tap."""

import itertools

import numpy as np
import pytest

from chainrule.kernels.windows import Axis, window_axis

CASES = list(itertools.product((1, 2, 5, 8), (1, 2, 3, 5), (1, 2, 3, 4), (1, 2, 3), ((0, 0), (1, 0), (2, 3), (6, 6))))


def axes():
    for size, taps, stride, dilation, padding in CASES:
        axis = window_axis(size, taps, stride, padding, dilation)
        if axis.out > 0:
            yield axis


def reached(axis):
    """Whether each (position, tap) lies inside of the input, and which input it is."""
    inputs = [
        [p * axis.stride + t * axis.dilation - axis.before for t in range(axis.taps)] for p in range(axis.out)
    ]  # fmt: skip
    return np.array([[0 <= i < axis.size for i in row] for row in inputs]), np.array(inputs)


def test_reach_positions_and_runs():
    for axis in axes():
        inside, inputs = reached(axis)
        for position, row in enumerate(inside):
            first, last = axis.reach(position)
            np.testing.assert_array_equal(np.flatnonzero(row), range(first, last))
        for tap, column in enumerate(inside.T):
            first, last = axis.positions(tap)
            np.testing.assert_array_equal(np.flatnonzero(column), range(first, last))
            assert axis.input(0, tap) == inputs[0, tap]
        runs = list(axis.runs())
        assert [p for run in runs for p in range(run.start, run.stop)] == list(range(axis.out))
        assert all(axis.reach(p) == (r.first, r.last) for r in runs for p in range(r.start, r.stop))
        assert all(a[2:] != b[2:] for a, b in itertools.pairwise(runs))


def test_runs_of_a_part():
    axis = window_axis(20, 3, 1, (1, 1), 1)
    assert [tuple(run) for run in axis.runs()] == [(0, 1, 1, 3), (1, 19, 0, 3), (19, 20, 0, 2)]
    assert [tuple(run) for run in axis.runs(5, 8)] == [(5, 8, 0, 3)]


def test_lattices_hold_each_tap_that_reaches_an_input_once():
    for axis in axes():
        inside, inputs = reached(axis)
        expected = {(inputs[p, t], p, t) for p, t in zip(*np.nonzero(inside), strict=True)}
        found = []
        for lattice in axis.lattices():
            for position in range(lattice.axis.out):
                first, last = lattice.axis.reach(position)
                found += [
                    (lattice.start + position * lattice.step, lattice.axis.input(position, i), lattice.taps[i])
                    for i in range(first, last)
                ]  # fmt: skip
        assert len(found) == len(set(found))
        assert set(found) == expected


@pytest.mark.parametrize("taps", [0, 3])
def test_an_axis_nothing_reaches(taps):
    axis = Axis(size=4, out=3, taps=taps, before=20)
    assert [tuple(run) for run in axis.runs()] == [(0, 3, 0, 0)]
