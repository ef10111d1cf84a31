"""Values computed again take less memory and change no bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.autodiff import functions as fn
from chainrule.autodiff.tensor import Parameter, Tensor
from chainrule.engine.compiled import CompiledEngine
from chainrule.engine.setup import Setup
from chainrule.errors import OptionError
from chainrule.optim.optimizers import UPDATES

DEPTH, WIDTH, BATCH = 24, 16, 256


def deep(activation: Any) -> tuple[dict[str, Parameter], Any]:
    """A deep network of narrow layers on a large batch: what it keeps is many times its parameters."""
    rng = np.random.default_rng(3)
    parameters = {f"w{i}": Parameter(rng.normal(0, 0.05, (WIDTH, WIDTH)).astype(np.float32)) for i in range(DEPTH)}

    def forward(x: Tensor) -> Tensor:
        for w in parameters.values():
            x = activation(fn.linear(x, w)) + x
        return x

    return parameters, forward


def train(activation: Any, memory_limit: int | None) -> tuple[Any, dict[str, np.ndarray[Any, Any]]]:
    parameters, forward = deep(activation)
    setup = Setup(forward, fn.mean_squared, parameters, UPDATES["sgd"], memory_limit=memory_limit)
    engine = CompiledEngine(setup)
    x = np.random.default_rng(4).normal(size=(BATCH, WIDTH)).astype(np.float32)
    engine.bind(x, x[:, ::-1])
    rows = np.tile(np.arange(BATCH), (5, 1))
    columns = dict.fromkeys(UPDATES["sgd"].columns, 0.0) | {"lr": 1e-3}
    engine.run(rows, np.tile(list(columns.values()), (5, 1)), 0)
    return engine.program, {name: p.data.copy() for name, p in parameters.items()}


ACTIVATIONS = {
    "gelu": fn.gelu,
    "sigmoid of tanh": lambda h: fn.sigmoid(fn.tanh(h)),
    "dropout": lambda h: fn.dropout(fn.softplus(h), 0.3),
}


@pytest.mark.parametrize("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
@pytest.mark.parametrize("share", [0.95, 0.7, 0.5])
def test_a_limit_is_kept_and_changes_no_bit(activation: Any, share: float) -> None:
    free, expected = train(activation, None)
    limit = int(free.block_bytes + share * free.arena_bytes)
    program, found = train(activation, limit)
    assert program.peak_bytes <= limit
    assert program.recomputed
    text = program.table()
    assert f"{len(program.recomputed)} values recomputed to save memory, marked *: " in text
    assert len(set(program.recomputed)) == len(program.recomputed)
    again = [i for i in program.instructions if i.name.startswith("*")]
    assert {i.phase for i in again} == {"backward"}
    assert "*(" in text  # their operands
    for name, array in expected.items():
        np.testing.assert_array_equal(array, found[name])


def test_a_limit_that_is_wide_enough_changes_nothing() -> None:
    free, _ = train(fn.gelu, None)
    program, _ = train(fn.gelu, free.peak_bytes)
    assert program.recomputed == []
    assert len(program.instructions) == len(free.instructions)


def test_no_more_is_computed_again_than_the_limit_asks_for() -> None:
    free, _ = train(fn.gelu, None)
    counts = [
        len(train(fn.gelu, int(free.block_bytes + share * free.arena_bytes))[0].recomputed)
        for share in (0.95, 0.8, 0.6)
    ]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_a_limit_below_what_is_possible_says_what_is() -> None:
    free, _ = train(fn.gelu, None)
    told = rf"a step on 256 samples needs at least [\d,]+ bytes \({free.peak_bytes:,} without"
    with pytest.raises(OptionError, match=told):
        train(fn.gelu, 10_000)


def test_a_trainer_says_what_it_chose(capfd: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential(*(layer for _ in range(20) for layer in (nn.Linear(8, 8), nn.GELU())))
    x = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    free = cr.Trainer(model, nn.MSELoss(), optim.Adam())
    free.step(x, x)
    trainer = cr.Trainer(model, nn.MSELoss(), optim.Adam(), memory_limit=f"{0.6 * free.program.peak_bytes / 1e6} MB")
    capfd.readouterr()
    trainer.step(x, x)
    said = capfd.readouterr().err
    assert f"bytes of memory: {len(trainer.program.recomputed)} values are recomputed" in said
    assert f"takes {trainer.program.peak_bytes:,} of " in said


def test_the_reference_engine_plans_no_memory() -> None:
    with pytest.raises(OptionError, match=r'memory_limit needs engine="compiled"'):
        cr.Trainer(nn.Linear(2, 2), nn.MSELoss(), optim.Adam(), engine="reference", memory_limit=1000)


@pytest.mark.parametrize("limit", [0, -5, 2.5, "", "MB", "ten MB", "5 TB", "nan", "-1GB", True])
def test_a_limit_is_a_size(limit: Any) -> None:
    with pytest.raises(OptionError, match="Trainer: memory_limit is"):
        cr.Trainer(nn.Linear(2, 2), nn.MSELoss(), optim.Adam(), memory_limit=limit)
