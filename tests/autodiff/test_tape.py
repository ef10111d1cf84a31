"""Tracing: ops written down on shapes, and what a traced model may not do."""

import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule.autodiff.random import random_context
from chainrule.autodiff.tape import active_tape, recording, tracing
from chainrule.autodiff.tensor import symbol
from chainrule.errors import DtypeError, ShapeError, TraceError


@pytest.fixture
def w():
    return cr.tensor(np.ones((3, 2), np.float32), requires_grad=True)


def test_ops_are_written_in_order(w):
    with tracing() as tape:
        x = symbol((4, 3), "float32", "x")
        y = ((x @ w) * 2 + 1).relu().sum(axis=0)
    assert [node.op.name for node in tape.nodes] == ["matmul", "scale", "shift", "relu", "sum"]
    assert y.is_symbolic
    assert y.shape == (2,)
    assert tape.nodes[0].inputs == (x, w)
    assert tape.nodes[1].attributes == {"factor": 2.0}
    assert tape.nodes[-1].output is y
    assert "matmul((4, 3), (3, 2)) (4, 2)" in repr(tape)


def test_constants_are_computed_at_once():
    with tracing() as tape:
        c = cr.tensor([1.0, 2.0]) * 3
    assert tape.nodes == []
    assert c.data.tolist() == [3.0, 6.0]


def test_parameters_are_written_even_without_gradients(w):
    with tracing() as tape:
        with cr.no_grad():
            frozen = w * 2
        y = frozen + w
    assert [node.op.name for node in tape.nodes] == ["scale", "add"]
    assert (frozen.requires_grad, y.requires_grad) == (False, True)


def test_broadcasts_are_ops_of_their_own(w):
    with tracing() as tape:
        symbol((4, 2)) + w.sum(axis=0)
    assert [node.op.name for node in tape.nodes] == ["sum", "broadcast", "add"]


def test_saved_values_are_symbols():
    with tracing() as tape:
        cr.functions.cross_entropy(symbol((4, 3)), symbol((4,), np.int64))
    assert [t.shape for t in tape.nodes[0].saved] == [(4, 3), ()]
    assert tape.nodes[0].inputs[1].dtype == np.int64


def test_detached_symbols_stop_gradients(w):
    with tracing() as tape:
        y = (symbol((4, 3)) @ w).detach()
    assert not y.requires_grad
    assert tape.nodes[-1].output is y


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x.data,
        lambda x: x.numpy(),
        lambda x: x.item(),
        lambda x: bool(x),
        lambda x: float(x),
        lambda x: int(x),
        lambda x: f"{x:.2f}",
        lambda x: np.asarray(x),
        lambda x: x.argmax(),
        lambda x: x.backward(),
        lambda x: x.__setitem__(0, 1.0),
        lambda x: setattr(x, "data", np.zeros(1)),
        lambda x: [1 for _ in x if x > 0],
    ],
)
def test_values_cannot_be_read_while_tracing(read):
    with tracing(), pytest.raises(TraceError, match='engine="reference"'):
        read(symbol((1,), name="x"))


def test_a_parameter_s_value_would_be_baked_in(w):
    with tracing():
        for read in (lambda: float(w[0, 0]), lambda: bool(w), lambda: np.asarray(w), lambda: w.__setitem__(0, 1.0)):
            with pytest.raises(TraceError):
                read()


def test_shape_facts_are_known_while_tracing():
    with tracing():
        x = symbol((2, 3), name="x")
        assert (x.shape, x.ndim, x.size, len(x), x.dtype) == ((2, 3), 2, 6, 2, np.float32)
        assert [row.shape for row in x] == [(3,), (3,)]
        assert repr(x) == "symbol(x, shape=(2, 3), dtype=float32)"
        x += 1.0
        assert x.shape == (2, 3)


def test_shape_errors_come_while_tracing(w):
    with tracing(), pytest.raises(ShapeError, match="5 columns"):
        symbol((4, 5)) @ w


def test_mixed_dtypes_are_refused_while_tracing(w):
    with tracing(), pytest.raises(DtypeError, match="one dtype"):
        symbol((4, 3), np.float64) @ w


def test_a_symbol_does_not_leave_its_trace():
    with tracing():
        x = symbol((2,)) * 2
    with pytest.raises(TraceError, match="outside its trace"):
        x + 1
    with tracing(), pytest.raises(TraceError, match="outside its trace"):
        x + 1


def test_the_trace_ends_after_an_error():
    with pytest.raises(ShapeError), tracing():
        symbol((2,)) + symbol((3,))
    assert active_tape() is None


def test_threads_do_not_see_each_other():
    seen = {}

    def look():
        seen["tape"], seen["recording"] = active_tape(), recording()

    with tracing(), cr.no_grad():
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    assert seen == {"tape": None, "recording": True}


def test_dropout_is_numbered_on_the_tape():
    with tracing() as tape, random_context(3, 4):
        x = symbol((5,))
        for _ in range(2):
            x = cr.functions.dropout(x, 0.5)
    assert [node.attributes for node in tape.nodes] == [
        {"p": 0.5, "number": 0, "seed": None, "step": None},
        {"p": 0.5, "number": 1, "seed": None, "step": None},
    ]
