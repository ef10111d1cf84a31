"""Buffers: what a model keeps and does not learn, and how it is assigned to, at once or in a trace."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn
from chainrule.autodiff.state import apart, assign, give
from chainrule.autodiff.tape import tracing
from chainrule.autodiff.tensor import symbol
from chainrule.errors import DtypeError, ShapeError, TraceError


@pytest.fixture
def mean() -> nn.Buffer:
    return nn.Buffer([1.0, 2.0], name="mean")


def test_assignment_casts_and_leaves_old_values_alone(mean: nn.Buffer) -> None:
    view, value = mean.reshape(2, 1), cr.tensor(np.array([3.0, 4.0]))
    assign(mean, value)
    assert mean.data.tolist() == [3.0, 4.0]
    assert mean.dtype == np.float32
    assert view.data.tolist() == [[1.0], [2.0]]
    value.data[...] = 0.0
    assert mean.data.tolist() == [3.0, 4.0]


def test_an_assignment_does_not_disturb_a_gradient(mean: nn.Buffer) -> None:
    w = cr.tensor([2.0, 3.0], requires_grad=True)
    loss = (w * mean).sum()
    assign(mean, mean * 10.0)
    loss.backward()
    np.testing.assert_array_equal(w.grad, [1.0, 2.0])


def test_no_gradient_flows_into_a_buffer(mean: nn.Buffer) -> None:
    w = cr.tensor([2.0, 3.0], requires_grad=True)
    assign(mean, w * mean)
    assert not mean.requires_grad
    (w * mean).sum().backward()
    np.testing.assert_array_equal(w.grad, [2.0, 6.0])


def test_a_buffer_is_an_operand_that_a_trace_reads_anew(mean: nn.Buffer) -> None:
    with tracing() as tape:
        doubled = mean * 2.0
        alone = mean.detach()
    assert doubled.is_symbolic
    assert alone.is_symbolic
    assert [node.op.name for node in tape.nodes] == ["scale", "reshape"]


def test_in_a_trace_later_reads_see_what_was_assigned(mean: nn.Buffer) -> None:
    with tracing() as tape:
        x = symbol((2,), "float32", "x")
        assign(mean, x)
        assert (mean + 1.0).is_symbolic
        assign(mean, mean * 2.0)
    assert tape.nodes[0].inputs == (x,)
    assert tape.nodes[1].inputs == (x,)
    assert list(tape.buffers.values()) == [mean]
    assert tape.assigned[id(mean)] is tape.nodes[1].output
    assert mean.data.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("use", [lambda b: b[0].item(), lambda b: float(b.sum()), lambda b: b.__iadd__(1.0)])
def test_values_are_not_known_in_a_trace(mean: nn.Buffer, use) -> None:
    with tracing(), pytest.raises(TraceError):
        use(mean)
    assert mean.data.tolist() == [1.0, 2.0]


def test_what_is_assigned_apart_is_given_later(mean: nn.Buffer) -> None:
    def double() -> list[float]:
        assign(mean, mean * 2.0)
        assign(mean, mean * 2.0)
        return mean.data.tolist()

    seen, assigned = apart(double)
    assert seen == [4.0, 8.0]
    assert mean.data.tolist() == [1.0, 2.0]
    give(assigned)
    assert mean.data.tolist() == [4.0, 8.0]


def test_buffers_come_back_after_an_error(mean: nn.Buffer) -> None:
    def give_up() -> None:
        assign(mean, mean * 2.0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        apart(give_up)
    assert mean.data.tolist() == [1.0, 2.0]


def test_copies_and_pickles(mean: nn.Buffer) -> None:
    for twin in (copy.deepcopy(mean), pickle.loads(pickle.dumps(mean))):
        assert type(twin) is nn.Buffer
        assert twin.name == "mean"
        assert twin.data is not mean.data
        np.testing.assert_array_equal(twin.data, mean.data)


def test_mistakes(mean: nn.Buffer) -> None:
    with pytest.raises(ShapeError, match=r'assign: tensor "mean" has shape \(2,\), the value \(3,\)'):
        assign(mean, cr.tensor([1.0, 2.0, 3.0]))
    with pytest.raises(DtypeError, match=r"keep state in nn\.Buffer"):
        assign(cr.tensor([1.0, 2.0]), cr.tensor([1.0, 2.0]))  # type: ignore[arg-type]
    with pytest.raises(DtypeError, match="expected floats"):
        nn.Buffer([1, 2])
    with pytest.raises(DtypeError, match="use a Parameter for what is learned"):
        nn.Buffer([1.0], requires_grad=True)
