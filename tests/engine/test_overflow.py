"""Updates that leave the range of the dtype: neither engine makes them, and both say the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.optim.coefficients import coefficients

from chainrule.autodiff import functions as fn
from chainrule.autodiff.tensor import Parameter
from chainrule.engine.compiled import CompiledEngine
from chainrule.engine.reference import ReferenceEngine
from chainrule.engine.setup import Setup
from chainrule.errors import NonFiniteError
from chainrule.kernels.updates import LIMIT
from chainrule.native.state import LARGE
from chainrule.optim.optimizers import UPDATES

several_tiles = pytest.mark.parametrize("width", [2, 800])


class Run:
    """Sixteen times `width` weights of the value `start`; each one's gradient in step i is gradients[i]."""

    def __init__(self, engine: Any, update: str, start: float, gradients: Any, width: int = 2, **options: Any) -> None:
        self.update = UPDATES[update]
        self.parameters = {name: Parameter(np.full((8, width), start, "f4")) for name in ("v", "w")}
        self.engine = engine(Setup(self.forward, lambda o, t, _: o.sum(), self.parameters, self.update, **options))
        x = np.repeat(np.array(gradients, "f4")[:, None], 8, axis=1)
        self.engine.bind(x, np.zeros((len(x), 1), "f4"))
        self.rows = np.arange(len(x))[:, None]

    def forward(self, x: Any) -> Any:
        return fn.linear(x, self.parameters["v"]) + fn.linear(x, self.parameters["w"])

    def run(self, first: int, last: int, **settings: float) -> None:
        """Steps `first` to `last` - 1."""
        self.engine.run(self.rows[first:last], coefficients(self.update.name, first, last, **settings), first)

    def values(self) -> list[Any]:
        """Weights and states."""
        if isinstance(self.engine, ReferenceEngine):
            states = [dict(self.engine._parts(state)) for state in self.engine.states]
        else:
            states = [self.engine.blocks.state(name) for name in self.update.states]
        return [
            np.array(of[n]) for of in ({n: p.data for n, p in self.parameters.items()}, *states) for n in ("v", "w")
        ]


def ending(engine: Any, *case: Any, steps: int, width: int, **settings: float) -> tuple[int, str, list[Any]]:
    """The step a run ends in, what is said of it, and what it leaves."""
    run = Run(engine, *case[:2], [case[2]] * steps, width)
    with pytest.raises(NonFiniteError) as caught:
        run.run(0, steps, **settings)
    before = Run(engine, *case[:2], [case[2]] * steps, width)
    before.run(0, caught.value.step, **settings)
    for found, expected in zip(run.values(), before.values(), strict=True):
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found, expected)
    return caught.value.step, str(caught.value).split(";")[0], run.values()


@several_tiles
@pytest.mark.parametrize(
    ("update", "start", "gradient", "settings", "message"),
    [
        ("sgd", 1.0, 10.0, {"lr": 1e38}, 'step 0: the updated "v" is -inf'),
        ("sgd", 1e-3, 1e36, {"lr": 1e3}, 'step 0: the updated "v" is -inf'),
        ("sgd", 1.0, 0.0, {"weight_decay": 1e39}, 'step 0: the updated "v" is -inf'),
        ("sgd", 1e-6, 0.0, {"lr": 4.0, "weight_decay": 3.0}, 'the updated "v"'),
        ("sgd", 1e-6, 0.0, {"lr": 12.0, "weight_decay": 1.0}, 'the updated "v"'),
        ("sgd_momentum", 1e-6, 1.0, {"momentum": 10.0, "lr": 1e-9}, 'the updated "v" is -inf'),
        ("sgd_nesterov", 1e-6, 1.0, {"momentum": 10.0, "lr": 1e-9}, 'the updated "v" is -inf'),
        ("sgd_momentum", 1e-6, 1e-6, {"lr": 12.0, "weight_decay": 1.0}, 'the updated "v"'),
        ("rmsprop", 1.0, 1e25, {}, 'step 0: the updated v of "v" is inf'),
        ("adagrad", 1.0, 1.8e19, {}, 'step 1: the updated v of "v" is inf'),
        ("adam", 1.0, 1e25, {}, 'step 0: the updated v of "v" is inf'),
        ("adam", 1e20, 0.0, {"weight_decay": 1.0, "beta2": 0.5}, 'step 0: the updated v of "v" is inf'),
        ("adamw", 1.0, 1.0, {"lr": 1e39}, 'step 0: the updated "v" is -inf'),
        ("adamw", 1e-6, 0.0, {"lr": 12.0, "weight_decay": 1.0}, 'the updated "v"'),
    ],
)
def test_an_update_that_overflows_is_not_made(
    update: str, start: float, gradient: float, settings: dict[str, float], message: str, width: int
) -> None:
    endings = [
        ending(engine, update, start, gradient, steps=60, width=width, **settings)
        for engine in (ReferenceEngine, CompiledEngine)
    ]
    assert endings[0][:2] == endings[1][:2]
    assert message in endings[1][1]
    for expected, found in zip(endings[0][2], endings[1][2], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@several_tiles
@pytest.mark.parametrize(
    ("update", "start", "gradient", "settings", "options"),
    [
        ("sgd", 1.0, 1e30, {"lr": 1e-31}, {}),
        ("sgd", 1e18, 1e15, {"lr": 0.1}, {}),
        ("sgd", 1.0, 1e30, {"lr": 1e-2}, {"clip_norm": 1.0}),
        ("sgd", 1.0, 1e30, {"lr": 1e-2}, {"clip_value": 1.0}),
        ("sgd_momentum", 1.0, 1.0, {"momentum": 4.0, "lr": 1e-17}, {}),
        ("rmsprop", 1.0, 1e18, {}, {}),
        ("adam", 1.0, 1e18, {}, {}),
        ("adam", 1.0, 0.5, {"eps": 0.0}, {}),
        ("rmsprop", 1.0, 1e-15, {"eps": 0.0}, {}),
        ("adamw", 1.0, 0.5, {"weight_decay": 3.0, "lr": 0.1}, {}),
    ],
)
def test_what_is_large_but_finite_is_trained_on(
    update: str, start: float, gradient: float, settings: dict[str, float], options: dict[str, float], width: int
) -> None:
    runs = [Run(e, update, start, [gradient] * 30, width, **options) for e in (ReferenceEngine, CompiledEngine)]
    for run in runs:
        run.run(0, 17, **settings)
        run.run(17, 30, **settings)
    for expected, found in zip(*(run.values() for run in runs), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-5)
    assert not (runs[1].values()[0] == start).any()


def test_gaps_between_parameters_stay_finite() -> None:
    run = Run(CompiledEngine, "adam", 1.0, [1.0] * 5, width=3)
    run.run(0, 5, eps=0.0)
    block = run.engine.blocks.parameters.array
    assert block.size > 2 * 24
    assert np.isfinite(block).all()


def test_the_latest_step_that_left_large_values_is_noted() -> None:
    """Step 2 sees the outlier; then its weight in v falls to a fifth with each step."""
    run = Run(CompiledEngine, "adam", 1.0, [1.0, 1.0, 1e10] + [1.0] * 60)
    run.run(0, 63, beta2=0.2)
    v = 1e20 * 0.8 * 0.2 ** np.arange(60)
    assert run.engine.state.numpy()[LARGE] == 2 + np.flatnonzero(32 * v > LIMIT)[-1]


@pytest.mark.parametrize("engine", [ReferenceEngine, CompiledEngine])
def test_a_run_can_go_on_after_one_that_ended(engine: Any) -> None:
    run = Run(engine, "adam", 1.0, [1.0, 1.0, 1e25, 1.0, 1.0])
    with pytest.raises(NonFiniteError, match="step 2"):
        run.run(0, 5)
    run.run(3, 5)
    assert all(np.isfinite(values).all() for values in run.values())


@several_tiles
@pytest.mark.parametrize("steps", [1, 2])
def test_weights_set_within_the_array_are_noticed(width: int, steps: int) -> None:
    """When a run begins, or, in single steps of a large model, when the second does."""
    run = Run(CompiledEngine, "adam", 1.0, [1.0] * 6, width)
    run.run(0, 2, weight_decay=1.0)
    run.parameters["w"].data[3, 1] = 1e21
    late = steps == 1 and width == 800
    if late:
        run.run(2, 3, weight_decay=1.0)
    with pytest.raises(NonFiniteError, match='the updated v of "w" is inf'):
        run.run(2 + late, 2 + late + steps, weight_decay=1.0)
    assert run.parameters["w"].data[3, 1] == np.float32(1e21)
