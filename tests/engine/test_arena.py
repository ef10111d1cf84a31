"""The programs of a trainer share one arena: each runs as if it were alone, and memory is that of the largest."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

import chainrule as cr
from chainrule import nn, optim
from chainrule.engine import memory
from chainrule.engine.compiled import CompiledEngine
from chainrule.engine.memory import HEADROOM, Lifetime, empty_arena, place
from chainrule.native.memory import Array, Storage

SIZES = (6, 20, 5, 31, 20, 7, 40, 6)  # of batches: the arena grows, and smaller ones come in between


def trainer() -> cr.Trainer:
    cr.seed(4)
    body = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))
    layers = (nn.Residual(body), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.2), nn.Linear(27, 4))
    return cr.Trainer(nn.Sequential(*layers), nn.CrossEntropyLoss(), optim.SGD(lr=0.05, momentum=0.9), threads=2)


def batch(size: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(size)
    return rng.normal(size=(size, 6, 6, 3)).astype("f4"), rng.integers(0, 4, size)


def compiled(one: cr.Trainer) -> CompiledEngine:
    assert isinstance(one.engine, CompiledEngine)
    return one.engine


def everything(one: cr.Trainer, size: int) -> list[bytes]:
    """Predictions, gradients and a step on one batch, with the weights, buffers and states after it."""
    x, y = batch(size)
    found = [one.predict(x), *one.gradients(x, y).values(), np.float64(one.step(x, y)), one.predict(x)]
    found += one.model.state_dict().values()
    found += [block.own for block in compiled(one).blocks.states.values()]
    return [np.asarray(array).tobytes() for array in found]


def test_shapes_in_turn_give_the_bits_of_programs_alone() -> None:
    sharing, alone = trainer(), trainer()
    for size in SIZES:
        compiled(alone).forget()  # programs are built anew, in an arena of their own
        compiled(alone).arena = empty_arena()
        assert everything(sharing, size) == everything(alone, size), f"batch of {size}"


def test_nothing_in_the_arena_outlives_a_run() -> None:
    kept, spoiled = trainer(), trainer()
    for size in SIZES:
        if (shared := compiled(spoiled).arena.own) is not None:
            shared[:] = 255  # NaN, or -1
        assert everything(kept, size) == everything(spoiled, size), f"batch of {size}"


def test_memory_of_shapes_does_not_add_up() -> None:
    one = trainer()
    for size in SIZES:
        everything(one, size)
    programs = [bound.program for bound in compiled(one)._programs.values()]
    assert len(programs) == 3 * len(set(SIZES))
    assert compiled(one).arena.bytes == max(program.arena_bytes for program in programs)
    assert all(program.arena is compiled(one).arena for program in programs)


def test_a_smaller_batch_needs_no_new_memory() -> None:
    one = trainer()
    one.step(*batch(40))
    first = compiled(one).arena.own
    one.step(*batch(39))
    assert compiled(one).arena.own is first
    one.step(*batch(80))
    assert compiled(one).arena.own is not first


def test_a_large_arena_keeps_addresses_for_larger_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "LARGE", 1)
    one, other = trainer(), trainer()
    one.step(*batch(40))
    first = compiled(one).arena.own
    assert first is not None
    assert first.nbytes == HEADROOM * max(bound.program.arena_bytes for bound in compiled(one)._programs.values())
    other.step(*batch(40))
    assert one.step(*batch(60)) == other.step(*batch(60))
    assert compiled(one).arena.own is first
    one.step(*batch(160))
    assert compiled(one).arena.own is not first


@pytest.mark.parametrize("size", [1, 1000, memory.LARGE - 1, memory.LARGE, 3 * memory.LARGE + 5])
def test_memory_is_zero_and_begins_on_a_line_or_a_large_page(size: int) -> None:
    for _ in range(2):  # the second time it may be what was given back
        found = memory.allocate(size)
        assert found.nbytes == size
        assert not found.any()
        large = size >= memory.LARGE and hasattr(mmap, "MADV_HUGEPAGE")
        assert found.ctypes.data % (memory.LARGE if large else memory.ALIGNMENT) == 0
        found[:] = 255
        del found


def test_more_than_there_is_raises_a_memory_error() -> None:
    with pytest.raises(MemoryError):
        memory.allocate(1 << 60)


def test_where_addresses_are_few_an_arena_takes_no_more_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    usual, arena = memory.allocate, empty_arena()

    def allocate(size: int) -> Array:
        if size > 1000:
            raise MemoryError
        return usual(size)

    monkeypatch.setattr(memory, "LARGE", 1)
    monkeypatch.setattr(memory, "allocate", allocate)
    memory.reserve(arena, 1000)
    assert arena.bytes == 1000


def test_a_batch_that_memory_is_too_small_for_leaves_smaller_ones_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = trainer(), trainer()
    expected = [other.step(*batch(20)) for _ in range(2)]
    assert one.step(*batch(20)) == expected[0]
    usual = memory.allocate
    most = compiled(one).arena.bytes

    def allocate(size: int) -> Array:
        if size > most:
            raise MemoryError
        return usual(size)

    monkeypatch.setattr(memory, "allocate", allocate)
    with pytest.raises(MemoryError):
        one.step(*batch(80))
    assert one.step(*batch(20)) == expected[1]


def test_interpreted_programs_share_an_arena_too(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = trainer()
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    plain = trainer()
    for size in (2, 3, 2):
        monkeypatch.delenv("NUMBA_DISABLE_JIT")
        expected = usual.step(*batch(size))
        monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
        with np.errstate(all="ignore"):
            assert plain.step(*batch(size)) == pytest.approx(expected, rel=1e-5)


def test_places_are_the_lowest_that_are_free() -> None:
    def life(size: int, first: int, last: int) -> Lifetime:
        return Lifetime(Storage(size, np.dtype("u1"), "arena"), first, last)

    lives = [life(128, 0, 1), life(64, 0, 3), life(64, 2, 3), life(64, 2, 2), life(128, 3, 3), life(0, 3, 3)]
    assert place(lives) == 320
    assert [x.start for x in lives] == [0, 128, 0, 64, 192, 0]
