"""Recurrent networks over whole sequences: lstm, gru and rnn.

Each takes the inputs' part a = x·Wx + b of all steps, one product made beforehand, and goes through time: every step
adds the product of the state and the weights wh and computes its gates. The gradient goes back through time in the same
way and yields da, from which all others follow: that for wh is one product over all steps.

wh has the shape (directions, hidden, gates·hidden), with one direction or two; the second one goes from the last step
to the first, as does the only one with `reverse`. a has the shape (n, steps, directions·gates·hidden) and y (n, steps,
directions·hidden), with the directions side by side. Sequences of different lengths stand one after the other instead:
a (rows, directions·gates·hidden), with `offsets`, n + 1 whole numbers that say where each begins and the last one ends,
and `order`, the numbers of the sequences by falling length, equal ones in their order. Others raise LabelError, as the
loop takes them as addresses. Rows after the last sequence are 0 in y.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule.errors import LabelError, OptionError, ShapeError
from chainrule.kernels.recurrent import Loop, Sequences, bias_gradient, weight_gradient
from chainrule.native import cells
from chainrule.native.kernel import Call
from chainrule.native.memory import Array, Scratch, Shape, View
from chainrule.ops import scan
from chainrule.ops.record import Example, Sample, op


def _flops(a: Shape, wh: Shape, *_: Any) -> float:
    return 2.0 * math.prod(a) * wh[1]


@op(
    formula="i, f, o = σ(a + h'·Wh), g = tanh(a + h'·Wh), c = f·c' + i·g, y = h = o·tanh c; h', c' of the step before",
    returns=("h", "c"),
    saves=("gates", "kept", "before"),
    integers=("offsets", "order"),
    by_row=True,
    flops=_flops,
)
def lstm(
    a: Array, wh: Array, h0: Array | None = None, c0: Array | None = None, offsets: Array | None = None,
    order: Array | None = None, *, reverse: bool = False,
) -> tuple[Array, ...]:  # fmt: skip
    """Long short-term memory, with gates in the order i, f, g, o: y is h of every step, h and c are the last states.

    h0 and c0 are the first states (directions, n, hidden), 0 unless given. Raises ShapeError where shapes do not fit.
    Hochreiter and Schmidhuber, Neural Computation 9 (1997); Gers et al., Neural Computation 12 (2000).
    """
    scan.check_sequences("lstm", a, offsets, order)
    found = scan.through(cells.LSTM, a, wh, h0, c0, offsets, reverse)
    return tuple(found[name] for name in ("y", "state", "carry", "gates", "kept", "before"))


@lstm.shape
def _(
    a: Shape, wh: Shape, h0: Shape | None = None, c0: Shape | None = None, offsets: Shape | None = None,
    order: Shape | None = None, *, reverse: bool,
) -> list[Shape]:  # fmt: skip
    y, state = scan.shapes("lstm", 4, a, wh, {"h0": h0, "c0": c0}, offsets, order)
    return [y, state, state, a, y, y]


lstm.limit("offsets")(scan.offsets_limit)
lstm.limit("order")(scan.order_limit)


@lstm.lower
def _(
    y: View, h: View, c: View, gates: View, kept: View, before: View, a: View, wh: View, h0: View | None,
    c0: View | None, offsets: View | None, order: View | None, *, reverse: bool, scratch: Scratch, state: View,
) -> list[Call]:  # fmt: skip
    loop = Loop(cells.LSTM, wh, Sequences.of(a, offsets, order), reverse, scratch, state)
    return loop.through((y, gates, kept, before), (h, c), a, None, (h0, c0))


@lstm.gradient(
    "a",
    formula="do = dh·tanh c·σ', dc += dh·o·(1 - tanh² c), di = dc·g·σ', df = dc·c'·σ', dg = dc·i·tanh', dh' = da·Whᵀ",
    saves={"first_h": "h", "first_c": "c"},
)
def _(
    dy: Array | None, dh: Array | None, dc: Array | None, wh: Array, gates: Array, kept: Array, h0: Array | None,
    offsets: Array | None, order: Array | None, *, reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    found = scan.back(cells.LSTM, wh, {"gates": gates, "kept": kept}, dy, (dh, dc), offsets, reverse, h0 is not None)
    return found["da"], found["state"], found["carry"]


@lstm.lower("a")
def _(
    da: View, first_h: View, first_c: View, dy: View | None, dh: View | None, dc: View | None, wh: View, gates: View,
    kept: View, h0: View | None, offsets: View | None, order: View | None, *, reverse: bool, scratch: Scratch,
) -> list[Call]:  # fmt: skip
    loop = Loop(cells.LSTM, wh, Sequences.of(da, offsets, order), reverse, scratch)
    return loop.back((da, None), (first_h, first_c), (gates, kept, None), dy, (dh, dc), h0 is not None)


@lstm.gradient("wh", formula="dWh = Σ h'ᵀ·da")
def _(da: Array, before: Array, *, wh_shape: Shape) -> Array:
    return scan.weight_gradient(before, da, wh_shape)


@lstm.lower("wh")
def _(dwh: View, da: View, before: View, *, scratch: Scratch) -> list[Call]:
    return weight_gradient(dwh, before, da, scratch)


@lstm.gradient("h0", formula="dh0 = dh' of the first step")
def _(first_h: Array) -> Array:
    return first_h


@lstm.lower("h0")
def _(dh0: View, first_h: View) -> View:
    return first_h


@lstm.gradient("c0", formula="dc0 = dc' of the first step")
def _(first_c: Array) -> Array:
    return first_c


@lstm.lower("c0")
def _(dc0: View, first_c: View) -> View:
    return first_c


@op(
    formula="r, z = σ(a + h'·Wh), n = tanh(a + r·(h'·Wh + b)), y = h = n + z·(h' - n); h' of the step before",
    returns=("h",),
    saves=("gates", "kept", "before"),
    integers=("offsets", "order"),
    by_row=True,
    flops=_flops,
)
def gru(
    a: Array, wh: Array, bias: Array | None = None, h0: Array | None = None, offsets: Array | None = None,
    order: Array | None = None, *, reverse: bool = False,
) -> tuple[Array, ...]:  # fmt: skip
    """Gated recurrent units, with gates in the order r, z, n: y is h of every step, h is the last state.

    bias (directions, hidden) is that of the product which r multiplies and h0 (directions, n, hidden) the first state,
    both 0 unless given. Raises ShapeError where shapes do not fit. Cho et al., EMNLP 2014, with r after the product.
    """
    scan.check_sequences("gru", a, offsets, order)
    bias = np.zeros(wh.shape[:2], wh.dtype) if bias is None else bias
    found = scan.through(cells.GRU, a, wh, h0, None, offsets, reverse, bias)
    return tuple(found[name] for name in ("y", "state", "gates", "kept", "before"))


@gru.shape
def _(
    a: Shape, wh: Shape, bias: Shape | None = None, h0: Shape | None = None, offsets: Shape | None = None,
    order: Shape | None = None, *, reverse: bool,
) -> list[Shape]:  # fmt: skip
    y, state = scan.shapes("gru", 3, a, wh, {"h0": h0}, offsets, order)
    if bias is not None and bias != wh[:2]:
        raise ShapeError(f"gru: bias has shape {bias}, expected {wh[:2]}: one number for each unit of wh {wh}")
    return [y, state, a, y, y]


gru.limit("offsets")(scan.offsets_limit)
gru.limit("order")(scan.order_limit)


@gru.lower
def _(
    y: View, h: View, gates: View, kept: View, before: View, a: View, wh: View, bias: View | None, h0: View | None,
    offsets: View | None, order: View | None, *, reverse: bool, scratch: Scratch, state: View,
) -> list[Call]:  # fmt: skip
    loop = Loop(cells.GRU, wh, Sequences.of(a, offsets, order), reverse, scratch, state)
    return loop.through((y, gates, kept, before), (h, None), a, bias, (h0, None))


@gru.gradient(
    "a",
    formula="dn = dh·(1 - z)·tanh', dz = dh·(h' - n)·σ', dr = dn·(h'·Wh + b)·σ', dh' = dh·z + ds·Whᵀ, ds = dr,dz,dn·r",
    saves={"ds": "gates", "first_h": "h"},
)
def _(
    dy: Array | None, dh: Array | None, wh: Array, gates: Array, kept: Array, before: Array, h0: Array | None,
    offsets: Array | None, order: Array | None, *, reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    values = {"gates": gates, "kept": kept, "before": before}
    found = scan.back(cells.GRU, wh, values, dy, (dh, None), offsets, reverse, h0 is not None)
    return found["da"], found["ds"], found["state"]


@gru.lower("a")
def _(
    da: View, ds: View, first_h: View, dy: View | None, dh: View | None, wh: View, gates: View, kept: View,
    before: View, h0: View | None, offsets: View | None, order: View | None, *, reverse: bool, scratch: Scratch,
) -> list[Call]:  # fmt: skip
    loop = Loop(cells.GRU, wh, Sequences.of(da, offsets, order), reverse, scratch)
    return loop.back((da, ds), (first_h, None), (gates, kept, before), dy, (dh, None), h0 is not None)


@gru.gradient("wh", formula="dWh = Σ h'ᵀ·ds")
def _(ds: Array, before: Array, *, wh_shape: Shape) -> Array:
    return scan.weight_gradient(before, ds, wh_shape)


@gru.lower("wh")
def _(dwh: View, ds: View, before: View, *, scratch: Scratch) -> list[Call]:
    return weight_gradient(dwh, before, ds, scratch)


@gru.gradient("h0", formula="dh0 = dh' of the first step")
def _(first_h: Array) -> Array:
    return first_h


@gru.lower("h0")
def _(dh0: View, first_h: View) -> View:
    return first_h


@gru.gradient("bias", formula="db = Σ dn·r")
def _(ds: Array, *, bias_shape: Shape) -> Array:
    directions, hidden = bias_shape
    db: Array = ds.reshape(ds.size // (directions * 3 * hidden), directions, 3, hidden)[:, :, 2].sum(axis=0)
    return db


@gru.lower("bias")
def _(db: View, ds: View, *, scratch: Scratch) -> list[Call]:
    return bias_gradient(db, ds, scratch)


@op(
    formula="y = h = f(a + h'·Wh), f = tanh or relu; h' of the step before",
    returns=("h",),
    saves=("before",),
    integers=("offsets", "order"),
    by_row=True,
    flops=_flops,
)
def rnn(
    a: Array, wh: Array, h0: Array | None = None, offsets: Array | None = None, order: Array | None = None, *,
    nonlinearity: str = "tanh", reverse: bool = False,
) -> tuple[Array, ...]:  # fmt: skip
    """A plain recurrent network: y is h of every step, h is the last state.

    h0 is the first state (directions, n, hidden), 0 unless given. Raises ShapeError where shapes do not fit,
    OptionError unless the nonlinearity is "tanh" or "relu". Elman, Cognitive Science 14 (1990).
    """
    scan.check_sequences("rnn", a, offsets, order)
    found = scan.through(_cell(nonlinearity), a, wh, h0, None, offsets, reverse)
    return found["y"], found["state"], found["before"]


@rnn.shape
def _(
    a: Shape, wh: Shape, h0: Shape | None = None, offsets: Shape | None = None, order: Shape | None = None, *,
    nonlinearity: str, reverse: bool,
) -> list[Shape]:  # fmt: skip
    _cell(nonlinearity)
    y, state = scan.shapes("rnn", 1, a, wh, {"h0": h0}, offsets, order)
    return [y, state, y]


rnn.limit("offsets")(scan.offsets_limit)
rnn.limit("order")(scan.order_limit)


@rnn.lower
def _(
    y: View, h: View, before: View, a: View, wh: View, h0: View | None, offsets: View | None, order: View | None, *,
    nonlinearity: str, reverse: bool, scratch: Scratch, state: View,
) -> list[Call]:  # fmt: skip
    loop = Loop(_cell(nonlinearity), wh, Sequences.of(a, offsets, order), reverse, scratch, state)
    return loop.through((y, None, None, before), (h, None), a, None, (h0, None))


@rnn.gradient("a", formula="da = dh·(1 - h²), or dh where h > 0 for relu; dh' = da·Whᵀ", saves={"first_h": "h"})
def _(
    dy: Array | None, dh: Array | None, wh: Array, y: Array, h0: Array | None, offsets: Array | None,
    order: Array | None, *, nonlinearity: str, reverse: bool,
) -> tuple[Array, ...]:  # fmt: skip
    found = scan.back(_cell(nonlinearity), wh, {"gates": y}, dy, (dh, None), offsets, reverse, h0 is not None)
    return found["da"], found["state"]


@rnn.lower("a")
def _(
    da: View, first_h: View, dy: View | None, dh: View | None, wh: View, y: View, h0: View | None, offsets: View | None,
    order: View | None, *, nonlinearity: str, reverse: bool, scratch: Scratch,
) -> list[Call]:  # fmt: skip
    loop = Loop(_cell(nonlinearity), wh, Sequences.of(da, offsets, order), reverse, scratch)
    return loop.back((da, None), (first_h, None), (y, None, None), dy, (dh, None), h0 is not None)


@rnn.gradient("wh", formula="dWh = Σ h'ᵀ·da")
def _(da: Array, before: Array, *, wh_shape: Shape) -> Array:
    return scan.weight_gradient(before, da, wh_shape)


@rnn.lower("wh")
def _(dwh: View, da: View, before: View, *, scratch: Scratch) -> list[Call]:
    return weight_gradient(dwh, before, da, scratch)


@rnn.gradient("h0", formula="dh0 = dh' of the first step")
def _(first_h: Array) -> Array:
    return first_h


@rnn.lower("h0")
def _(dh0: View, first_h: View) -> View:
    return first_h


def _cell(nonlinearity: str) -> int:
    kinds = {"tanh": cells.RNN_TANH, "relu": cells.RNN_RELU}
    if nonlinearity not in kinds:
        raise OptionError(f"rnn: nonlinearity is {nonlinearity!r}, expected 'tanh' or 'relu'")
    return kinds[nonlinearity]


def _samples(gates: int, states: int, bias: bool = False, **attributes: Any) -> list[Sample]:
    """(n, steps, hidden, directions), with and without first states; sequences of different lengths; errors."""
    found = []
    sizes = [(3, 4, 5, 1), (1, 1, 1, 1), (2, 3, 4, 2), (17, 2, 7, 1), (2, 0, 3, 1), (0, 2, 3, 2), (1, 5, 17, 2)]
    for number, (n, t, hidden, d) in enumerate(sizes):
        shared = ((d, hidden, gates * hidden), *([(d, hidden)] if bias else []))
        offsets, order = scan.ragged(*(t - i % (t + 1) for i in range(n)))
        rows, dense = (int(offsets[-1]) + 2, d * gates * hidden), (n, t, d * gates * hidden)
        for shape, tables in ((dense, (None, None)), (rows, (offsets, order))):
            starts = (number % 2 == 0) == (shape is dense)
            first = [(d, n, hidden) if starts else None] * states
            found.append(
                Sample((shape, *shared, *first, *tables), {**attributes, "reverse": number % 4 < 2}, lambda x: 0.4 * x)
            )
    shared, none = ((1, 3, gates * 3), *([(1, 3)] if bias else [])), [None] * states
    plain, rows, attributes = (2, 4, gates * 3), (8, gates * 3), {**attributes, "reverse": False}
    wrong = [
        (plain, (1, 3, gates * 3 + 1), *shared[1:], *none, None, None),
        (plain, (3, 3, gates * 3), *shared[1:], *none, None, None),
        ((2, 4, gates * 3 + 1), *shared, *none, None, None),
        (rows, *shared, *none, None, None),
        (plain, *shared, *none, *scan.ragged(4, 4)),
        (rows, *shared, *none, np.array([0, 4, 8]), None),
        (rows, *shared, *none, np.array([0, 4, 8]), np.array([0])),
        (plain, *shared, (2, 3), *none[1:], None, None),
    ]
    found += [Sample(shapes, attributes, error=ShapeError) for shapes in wrong]
    return found + [Sample((rows, *shared, *none, *t), attributes, error=LabelError) for t in scan.wrong()]


# One unit with all of i, f, o (or r, z) ½, whose state is multiplied by 2 in g (or n), over two steps.
_C1 = 0.5 * math.tanh(1.0)
_H1 = 0.5 * math.tanh(_C1)
_H2 = 0.5 * math.tanh(0.5 * _C1 + 0.5 * math.tanh(3.0 + 2.0 * _H1))
_N1 = 0.5 * math.tanh(1.0 + 0.5 * 4.0)
_N2 = 0.5 * _N1 + 0.5 * math.tanh(3.0 + 0.5 * (2.0 * _N1 + 4.0))
_T1 = math.tanh(1.0 + 2.0 * 0.25)

lstm.overwrites("gates", "a")
lstm.overwrites("da", "gates")
lstm.cases(
    samples=_samples(4, 2),
    examples=[
        Example(([[[0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 3.0, 0.0]]], [[[0.0, 0.0, 2.0, 0.0]]]), [[[_H1], [_H2]]]),
        Example(
            ([[0.0, 0.0, 3.0, 0.0], [0.0, 0.0, 1.0, 0.0]], [[[0.0, 0.0, 2.0, 0.0]]], None, None, [0, 2], [0]),
            [[_H2], [_H1]],
            {"reverse": True},
        ),
    ],
)
gru.overwrites("gates", "a")
gru.overwrites("da", "gates")
gru.cases(
    samples=[
        *_samples(3, 1, bias=True),
        Sample(((2, 3, 12), (1, 4, 12), *[None] * 4), {"reverse": False}, lambda x: 0.4 * x),
    ],
    examples=[Example(([[[0.0, 0.0, 1.0], [0.0, 0.0, 3.0]]], [[[0.0, 0.0, 2.0]]], [[4.0]]), [[[_N1], [_N2]]])],
)
rnn.overwrites("y", "a")
rnn.overwrites("da", "y")
rnn.cases(
    samples=_samples(1, 1, nonlinearity="tanh") + _samples(1, 1, nonlinearity="relu"),
    examples=[
        Example(([[[1.0], [3.0]]], [[[2.0]]], [[[0.25]]]), [[[_T1], [math.tanh(3.0 + 2.0 * _T1)]]]),
        Example(([[[1.0], [-9.0]]], [[[2.0]]], [[[0.25]]]), [[[1.5], [0.0]]], {"nonlinearity": "relu"}),
    ],
)
