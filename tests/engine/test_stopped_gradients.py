"""What detach, no_grad and comparisons stop in eager tensors, a program stops too; frozen weights are constants."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from chainrule.autodiff import functions as fn
from chainrule.autodiff.tape import no_grad
from chainrule.autodiff.tensor import Parameter, Tensor
from chainrule.engine.compiled import CompiledEngine
from chainrule.engine.reference import ReferenceEngine
from chainrule.engine.setup import Setup
from chainrule.errors import GraphError
from chainrule.optim.optimizers import UPDATES

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "detach": lambda h: h / (h.detach().max(axis=1, keepdims=True) + 3.0),
    "no_grad": lambda h: h - without_graph(h),
    "condition": lambda h: fn.where(h > 0.2, h, h * 0.5),
    "mask": lambda h: h * (h > 0),
}


def without_graph(h: Tensor) -> Tensor:
    with no_grad():
        return h.mean(axis=0, keepdims=True)


def mean_squared(output: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    return fn.mean_squared(output, target, weight)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_stop_on_both_engines(name: str) -> None:
    rng = np.random.default_rng(0)
    w, v = Parameter(rng.normal(size=(6, 8))), Parameter(rng.normal(size=(8, 3)))
    x, y = rng.normal(size=(16, 6)), rng.normal(size=(16, 3))
    setup = Setup(lambda x: FUNCTIONS[name](x @ w) @ v, mean_squared, {"w": w, "v": v}, UPDATES["sgd"])
    ours, expected = (engine(setup).gradients(x, y)[1] for engine in (CompiledEngine, ReferenceEngine))
    for key, gradient in expected.items():
        np.testing.assert_allclose(ours[key], gradient, rtol=1e-9, atol=1e-12)


def test_an_input_without_a_gradient_that_should_have_one_is_refused() -> None:
    w, s = Parameter(np.ones((3, 1))), Parameter(np.ones(4))
    setup = Setup(lambda x: x @ w, lambda o, t, _: fn.mean_squared(o, t, s), {"w": w, "s": s}, UPDATES["sgd"])
    engine = CompiledEngine(setup)
    with pytest.raises(GraphError, match="weight"):
        engine.gradients(np.ones((4, 3)), np.ones((4, 1)))


def test_a_frozen_weight_that_is_loaded_anew_is_noticed() -> None:
    w, frozen = Parameter(np.ones((3, 1), "f4")), Parameter(np.eye(3, dtype="f4"), requires_grad=False)
    engine = CompiledEngine(Setup(lambda x: (x @ frozen) @ w, mean_squared, {"w": w}, UPDATES["sgd"]))
    x = np.ones((2, 3), "f4")
    np.testing.assert_array_equal(engine.predict(x), [[3.0], [3.0]])
    frozen.data[...] = 2 * np.eye(3, dtype="f4")
    np.testing.assert_array_equal(engine.predict(x), [[6.0], [6.0]])
