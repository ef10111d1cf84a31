"""The package's surface: every name is there, and importing it costs little."""

import subprocess
import sys

import pytest

import chainrule as cr

HEAVY = ("numba", "llvmlite", "matplotlib", "typer", "rich", "polars", "safetensors", "scipy")


def imported_by(statement):
    code = f"{statement}; import sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("name", cr.__all__)
def test_every_name_is_there(name):
    assert getattr(cr, name) is not None
    assert name in dir(cr)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'tensors'"):
        cr.tensors  # noqa: B018


def test_import_is_light():
    assert not {"numpy", *HEAVY} & imported_by("import chainrule")
    assert not set(HEAVY) & imported_by("from chainrule import nn, optim; nn.Linear(2, 2)([[1.0, 2.0]])")


@pytest.mark.parametrize("name", ["data.prepare", "interop.safetensors.read_state", "train.EarlyStopping"])
def test_modules_are_there_in_a_fresh_process(name):
    assert "numpy" in imported_by(f"import chainrule as cr; cr.{name}")
