"""Ops with several outputs: gradients flow through each of them, on both engines, with any number of workers."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from tests.ops.powers import powers

import chainrule as cr
from chainrule import nn, optim
from chainrule.autodiff.as_function import as_function
from chainrule.autodiff.backward import backward_plan
from chainrule.autodiff.tape import tracing
from chainrule.autodiff.tensor import Tensor, symbol
from chainrule.ops.record import op

both: Any = as_function(powers)
X = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)


class Powers(nn.Module):
    """A network of `depth` layers whose loss depends on the outputs named in `used`."""

    def __init__(self, used: str, depth: int = 1) -> None:
        self.layers, self.used = [nn.Linear(3, 3, bias=False) for _ in range(depth)], used
        for number, layer in enumerate(self.layers):
            layer.weight.data = np.random.default_rng(number).normal(size=(3, 3)) * 0.5

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            y, h = both(layer(x).tanh())
            x = {"y": y, "h": h, "yh": y * h + y, "hh": (h * h).tanh() + h}[self.used]
        return x


@pytest.mark.parametrize("used", ["y", "h", "yh", "hh"])
def test_both_engines_train_alike_with_any_number_of_workers(used: str) -> None:
    losses = {}
    for engine, workers in (("reference", 1), ("compiled", 1), ("compiled", 2), ("compiled", 3), ("compiled", 8)):
        trainer = cr.Trainer(Powers(used), nn.MSELoss(), optim.SGD(lr=0.1), engine=engine, threads=workers)
        losses[engine, workers] = [trainer.step(X, X[:, ::-1]) for _ in range(5)]
    expected = losses.pop(("reference", 1))
    assert len({tuple(found) for found in losses.values()}) == 1
    np.testing.assert_allclose(losses["compiled", 1], expected, rtol=1e-5)


@pytest.mark.parametrize("used", ["h", "yh"])
def test_outputs_computed_again_change_no_bit(used: str) -> None:
    def train(limit: int | None) -> tuple[Any, list[float]]:
        trainer = cr.Trainer(Powers(used, 8), nn.MSELoss(), optim.SGD(lr=0.1), memory_limit=limit)
        return trainer, [trainer.step(X, X[:, ::-1]) for _ in range(3)]

    free, expected = train(None)
    tight, found = train(int(free.program.block_bytes + 0.8 * free.program.arena_bytes))
    assert any(name.startswith("powers") for name in tight.program.recomputed)
    assert found == expected


def test_each_output_is_differentiated_by_itself_and_with_the_other() -> None:
    x = cr.tensor(X[:2], requires_grad=True)
    assert cr.gradcheck(both, x)
    assert cr.gradcheck(lambda x: both(x)[1], x)
    assert cr.gradcheck(lambda x: (both(x)[1] * both(x)[0]).sum(), x)
    y, h = both(x)
    (y.sum() + 2.0 * h.sum()).backward()
    np.testing.assert_allclose(x.grad, 2 * X[:2] + 6 * X[:2] ** 2, rtol=1e-5)


def test_an_output_that_nobody_holds_takes_no_part() -> None:
    x = cr.tensor(X[:2], requires_grad=True)
    h = both(x)[1]
    gc.collect()
    h.sum().backward()
    np.testing.assert_allclose(x.grad, 3 * X[:2] ** 2, rtol=1e-5)


def test_a_kept_gradient_of_an_inner_output_is_that_of_its_own() -> None:
    x = cr.tensor(X[:2], requires_grad=True)
    y, h = both(x)
    h.retain_grad()
    (y.sum() + 2.0 * h.sum()).backward()
    assert h.grad.tolist() == np.full((2, 3), 2.0).tolist()
    assert y.grad is None


def test_a_trace_names_every_output() -> None:
    with tracing() as tape:
        _, h = both(nn.Linear(3, 5)(symbol((4, 3))))
        loss = h.sum()
    assert repr(tape.nodes[1]) == "powers((4, 5)) (4, 5), (4, 5)"
    assert [step.rule.name for step in backward_plan(tape.nodes, loss, [tape.nodes[0].inputs[1]])] == [
        "sum.x",
        "powers.x",
        "linear.w",
    ]
    trainer = cr.Trainer(Powers("h"), nn.MSELoss(), optim.SGD(lr=0.1))
    trainer.step(X, X)
    assert "powers.h(64×3)" in str(trainer.program.table())


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"returns": ("x",)}, "must differ in name"),
        ({"returns": ("h",), "saves": ("h",)}, "must differ in name"),
        ({"returns": ("h",), "pointwise": True}, "a pointwise op has one output"),
        ({"integers": ("labels",)}, r"integers \['labels'\] are none of its inputs"),
    ],
)
def test_names_that_do_not_fit_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(TypeError, match=told):

        @op(formula="y = x", **settings)
        def unfit(x: Any) -> Any:
            return x
