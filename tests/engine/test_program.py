"""What a program is made of: fused instructions, memory shared by lifetime, and no compilation for a new shape."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from tests import patience

import chainrule as cr
from chainrule import models, nn, optim
from chainrule.autodiff import functions as fn
from chainrule.autodiff.tensor import Parameter, Tensor
from chainrule.engine.compiled import CompiledEngine
from chainrule.engine.memory import ALIGNMENT, empty_arena, lifetimes, plan
from chainrule.engine.setup import Setup
from chainrule.native import objects
from chainrule.native.kernel import Pointer, kernel
from chainrule.native.memory import Storage, View
from chainrule.native.replay import BARRIER, MAY_STOP
from chainrule.optim.optimizers import UPDATES

LOAD = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("tests_engine_program", {__file__!r})
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = module
spec.loader.exec_module(module)
network, train = module.network, module.train
"""


def mean_squared(output: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    return fn.mean_squared(output, target, weight)


def network(sizes: tuple[int, ...], **options: Any) -> CompiledEngine:
    rng = np.random.default_rng(2)
    p = {}
    for i, (a, b) in enumerate(pairwise(sizes)):
        p[f"{i}.weight"] = Parameter(rng.normal(size=(a, b), scale=a**-0.5).astype("f4"))
        p[f"{i}.bias"] = Parameter(np.zeros(b, "f4"))

    def forward(x: Tensor) -> Tensor:
        for i in range(len(sizes) - 1):
            x = fn.linear(x, p[f"{i}.weight"], p[f"{i}.bias"])
            x = fn.relu(x) if i < len(sizes) - 2 else x
        return x

    return CompiledEngine(Setup(forward, mean_squared, p, UPDATES["sgd"], **options))


def train(engine: CompiledEngine, sizes: tuple[int, ...], batch: int, steps: int = 1) -> Any:
    rng = np.random.default_rng(3)
    engine.bind(rng.normal(size=(64, sizes[0])).astype("f4"), rng.normal(size=(64, sizes[-1])).astype("f4"))
    return engine.run(rng.integers(0, 64, (steps, batch)), np.tile([0.01, 0.0], (steps, 1)), 0)


def names(engine: CompiledEngine) -> list[str]:
    return [i.name for i in engine.program.instructions]


def test_phases_and_fusion_are_printed() -> None:
    engine = network((5, 8, 3))
    train(engine, (5, 8, 3), 16)
    text = engine.program.table()
    places = [text.index(f"\n{phase}\n") for phase in ("batch", "forward", "loss", "backward", "update")]
    assert places == sorted(places)
    found = names(engine)
    assert found.count("linear + relu") == 1
    assert found.count("linear.w + linear.b") == 2
    assert any(name == "linear.x + relu.x" for name in found)
    assert "relu" not in found
    assert "linear.b" not in found
    assert "y = x·W + b; y = max(x, 0)" in text
    assert "relu(16×8)" in text
    assert "x(16×5) 0.weight(5×8) 0.bias(8) -> relu(16×8)" in text
    assert "d(linear#2)(16×3) relu(16×8) -> d(1.weight)(8×3) d(1.bias)(3)" in text
    updates = [line for line in text.splitlines() if "parameters(" in line]
    assert all(f"parameters({engine.blocks.size}) gradients({engine.blocks.size})" in line for line in updates)
    assert updates
    assert "arena" in text.splitlines()[-1]


def test_values_computed_in_place_and_views_are_printed_by_the_names_they_have_now() -> None:
    def loss(outputs: cr.Tensor, y: cr.Tensor, weight: cr.Tensor | None = None) -> cr.Tensor:
        return ((outputs - y) * 0.5).tanh().mean()

    trainer = cr.Trainer(nn.Sequential(nn.Flatten(), nn.Linear(6, 1)), loss=loss, optimizer=optim.SGD(lr=0.1))
    trainer.step(np.zeros((8, 2, 3), "f4"), np.zeros((8, 1), "f4"))
    shown = {i.name: str(i.operands) for i in trainer.program.instructions}
    assert shown["linear"] == "x(8×6) 1.weight(6×1) 1.bias(1) -> linear(8×1)"  # by way of reshape
    assert shown["subtract"] == "linear(8×1) y(8×1) -> subtract(8×1)"
    assert shown["scale"] == "subtract(8×1) -> scale(8×1)"
    assert shown["tanh"] == "scale(8×1) -> tanh(8×1)"
    assert shown["mean"] == "tanh(8×1) -> mean(1)"
    assert shown["record"] == "mean(1)"
    assert shown["tanh.x"] == "d(tanh)(8×1) tanh(8×1) -> d(scale)(8×1)"


def test_a_table_is_as_wide_as_there_is_room() -> None:
    engine = network((5, 8, 8, 3))
    train(engine, (5, 8, 8, 3), 16)
    whole = engine.program.table()
    assert "…" not in whole
    assert " relu#2(16×8)" in whole  # not the first one
    assert engine.program.table(1000) == whole
    for width in (110, 80):
        table = engine.program.table(width).splitlines()
        assert max(map(len, table)) == width
        assert any("…" in line for line in table)
    assert "linear.x + relu.x [gemm]" in engine.program.table(110)  # formulas and operands are cut first
    assert " linear.x + …  dx = dy·Wᵀ;…  2.weight(8×…  " in engine.program.table(1)  # what is left at least


def test_every_value_of_the_step_is_written_before_it_is_read() -> None:
    layers = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)]
    trainer = cr.Trainer(nn.Sequential(*layers), loss=nn.CrossEntropyLoss(), optimizer=optim.Adam(lr=1e-3), clip_norm=1)
    trainer.step(np.zeros((16, 8, 8, 1), "f4"), np.arange(16) % 3)
    own = {*trainer.model.named_parameters(), *trainer.model.named_buffers(), "parameters", "gradients", "m", "v"}
    for instruction in trainer.program.instructions:
        reads, writes = instruction.operands.reads, instruction.operands.writes
        assert {text.rsplit("(", 1)[0] for text in reads} <= own, f"{instruction.name}: {instruction.operands}"
        own |= {text.rsplit("(", 1)[0] for text in writes}


def test_the_table_of_a_network_for_images_fits_a_terminal() -> None:
    trainer = cr.Trainer(models.small_cnn((12, 12, 1), 3), loss=nn.CrossEntropyLoss(), optimizer=optim.Adam(lr=1e-3))
    trainer.step(np.zeros((16, 12, 12, 1), "f4"), np.arange(16) % 3)
    assert max(map(len, trainer.program.table().splitlines())) > 200
    for name in trainer.model.named_buffers():
        assert f" {name}(" in trainer.program.table()
    assert max(map(len, trainer.program.table(80).splitlines())) == 80


class Output:
    """What may stand for standard output."""

    def __init__(self, answer: bool | Exception) -> None:
        self.answer = answer

    def isatty(self) -> bool:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_a_program_is_printed_as_wide_as_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = network((5, 8, 3))
    train(engine, (5, 8, 3), 16)
    whole = engine.program.table()
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setattr("sys.stdout", Output(True))
    *lines, last = str(engine.program).splitlines()
    assert lines == engine.program.table(90).splitlines()
    assert last == "cut to the width of the terminal: program.table() is complete"
    assert engine.program.table() == whole
    monkeypatch.setenv("COLUMNS", "400")
    assert str(engine.program) == whole
    for output in (Output(False), Output(ValueError("I/O operation on closed file")), object(), None):
        monkeypatch.setattr("sys.stdout", output)
        assert str(engine.program) == whole


def test_a_weight_used_twice_accumulates_in_its_product() -> None:
    w, rng = Parameter(np.eye(4, dtype="f4")), np.random.default_rng(0)
    engine = CompiledEngine(Setup(lambda x: fn.linear(fn.linear(x, w), w), mean_squared, {"w": w}, UPDATES["sgd"]))
    engine.bind(rng.normal(size=(6, 4)).astype("f4"), rng.normal(size=(6, 4)).astype("f4"))
    engine.run(np.arange(6)[None], np.array([[0.01, 0.0]]), 0)
    assert "add" not in names(engine)
    assert "dW = xᵀ·dy; added" in engine.program.table()


def test_memory_is_shared_by_lifetime() -> None:
    sizes = (16, *[64] * 12, 4)
    engine = network(sizes)
    engine.predict(np.zeros((256, 16), "f4"))
    (program,) = (bound.program for bound in engine._programs.values())
    activation = 256 * 64 * 4
    assert program.arena_bytes <= 2 * activation + 256 * 16 * 4  # two live at a time, not twelve


def test_the_plan_never_lets_living_buffers_overlap() -> None:
    @kernel
    def touch(tile: int, a: Pointer, b: Pointer) -> None:
        pass

    rng = np.random.default_rng(8)
    for _ in range(50):
        buffers = [Storage(int(rng.integers(1, 300)), np.dtype("f4"), "arena") for _ in range(20)]
        pairs = rng.integers(0, 20, (40, 2))
        calls = [touch(1, *(View(buffers[i], (buffers[i].size,)) for i in pair)) for pair in pairs]
        size = plan(calls, empty_arena())
        lives = lifetimes(calls)
        for i, one in enumerate(lives):
            start = one.storage.array.ctypes.data  # type: ignore[union-attr]
            assert start % ALIGNMENT == 0
            for other in lives[i + 1 :]:
                if one.first <= other.last and other.first <= one.last:
                    begin = other.storage.array.ctypes.data  # type: ignore[union-attr]
                    assert start + one.storage.bytes <= begin or begin + other.storage.bytes <= start
        assert size <= sum(b.bytes + ALIGNMENT for b in buffers)


def test_a_new_shape_compiles_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    train(network((5, 8, 3)), (5, 8, 3), 16)
    capfd.readouterr()
    known = set(objects._loaded)
    for sizes, batch in (((7, 33, 21, 2), 5), ((5, 8, 3), 1), ((100, 3), 64)):
        assert np.isfinite(train(network(sizes), sizes, batch)).all()
    assert set(objects._loaded) == known
    assert capfd.readouterr().err == ""


def test_two_trainings_in_two_threads_do_not_disturb_each_other() -> None:
    sizes = (64, 256, 256, 8)
    alone = train(network(sizes, workers=2), sizes, 64, 60)
    found: dict[int, Any] = {}

    def job(number: int) -> None:
        found[number] = train(network(sizes, workers=2), sizes, 64, 60)

    threads = [threading.Thread(target=job, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patience.SECONDS)
    for losses in found.values():
        np.testing.assert_array_equal(losses, alone)
    assert len(found) == 3


def test_a_small_program_runs_on_one_worker_and_a_large_one_on_all() -> None:
    for sizes, workers in (((2, 8, 1), 1), ((512, 512, 512, 8), 4)):
        engine = network(sizes, workers=4)
        train(engine, sizes, 64)
        assert engine.program.workers == workers


def test_training_goes_on_in_a_forked_child() -> None:
    program = f"""
import os
import numpy as np
{LOAD}
sizes = (64, 256, 256, 8)
before = train(network(sizes, workers=2), sizes, 64, 5)
child = os.fork()
after = train(network(sizes, workers=2), sizes, 64, 5)
same = bool((before == after).all())
if child == 0:
    os._exit(7 if same else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), same)
"""
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True, text=True, timeout=patience.SECONDS, env=dict(os.environ),
    )  # fmt: skip
    assert answer.stdout.split() == ["7", "True"], answer.stderr


def test_a_program_runs_as_plain_python_too() -> None:
    program = f"""
import numpy as np
{LOAD}
from chainrule.autodiff import functions as fn
sizes = (5, 40, 3)
engine = network(sizes, workers=2, clip_norm=0.1)
losses = train(engine, sizes, 16, 4)
engine.predict(np.ones((3, 5), "f4"))
print(engine.program.interpreted, *(float(x).hex() for x in losses))
"""
    found = []
    for disable in ("0", "1"):
        environment = os.environ | {"NUMBA_DISABLE_JIT": disable}
        answer = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=patience.SECONDS, env=environment
        )
        assert answer.returncode == 0, answer.stderr
        interpreted, *losses = answer.stdout.split()
        assert interpreted == str(disable == "1"), answer.stderr
        found.append([float.fromhex(x) for x in losses])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


def test_workers_meet_before_and_after_what_may_stop_them() -> None:
    """Else a worker that is late at one barrier would read the stop word set after it, leave, and be waited for."""
    engine = network((100, 1), workers=2)
    train(engine, (100, 1), 256 // 4)
    program = engine.program
    flags = [int(program.words[start // 8 + 2]) for start in program.starts]
    for number, instruction in enumerate(program.instructions):
        if instruction.call.stops:
            assert flags[number] == BARRIER | MAY_STOP
            assert flags[number - 1] & BARRIER
