"""Models as safetensors files: the weights, and the architecture as metadata, so that `load` can rebuild the model.

The metadata has one entry, "chainrule": JSON with "format", "class" and "architecture" (see
`chainrule.interop.architecture`; null for a model with custom classes). Any software that reads safetensors can read
the weights.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import field

from chainrule import nn
from chainrule.errors import ChainruleError, DataError, OptionError
from chainrule.files import as_path, write_whole
from chainrule.interop import architecture
from chainrule.interop.arrays import AGAIN, read_arrays
from chainrule.native.memory import Array
from chainrule.records import Record, convert, parse
from chainrule.settings import shown

FORMAT = 1


class Description(Record):
    """What the metadata say of the model."""

    format: int
    class_name: str = field(name="class")
    architecture: Any


def save(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write a model's weights and architecture to a safetensors file, atomically.

    Raises FileError if the file cannot be written; an existing file is then unchanged.

    >>> save(nn.Sequential(nn.Linear(3, 2), nn.Tanh()), "m.safetensors")
    """
    from safetensors.numpy import save as to_bytes

    if not isinstance(model, nn.Module):
        raise OptionError(f"save: {model!r} is not a model: pass the model first, then the path")
    note = {"format": FORMAT, "class": type(model).__name__, "architecture": architecture.describe(model)}
    arrays = {name: np.asarray(array, order="C") for name, array in model.state_dict().items()}
    data = to_bytes(arrays, {"chainrule": json.dumps(note)})
    write_whole(as_path("save", path), lambda beside: beside.write_bytes(data))


def load(path: str | os.PathLike[str]) -> nn.Module:
    """Read a model that `save` wrote.

    Raises FileError for a file that cannot be read, DataError for one that is damaged, written by other software, or
    whose model has custom classes: build that model yourself and load the weights with
    `model.load_state_dict(read_state(path))`.

    >>> save(nn.Sequential(nn.Linear(3, 2), nn.Tanh()), "m.safetensors")
    >>> print(load("m.safetensors"))
    Sequential(
      0: Linear(in_features=3, out_features=2, bias=True)
      1: Tanh()
    )
    """
    state, note = _read(as_path("load", path))
    if note is None:
        raise DataError(f"{path}: contains arrays but no chainrule model: build the model and {_by_hand(path)}")
    if note.architecture is None:
        raise DataError(
            f"{path}: the model's class, {shown(note.class_name)}, or one inside it is not part of chainrule: "
            f"build the model and {_by_hand(path)}"
        )
    foreign = {str(array.dtype) for array in state.values()} - {"float32", "float64"}
    if foreign:
        raise DataError(f"{path}: holds {' and '.join(sorted(foreign))}, expected float32 or float64: {AGAIN}")
    try:
        model = architecture.build(note.architecture)
        model.load_state_dict(state)
        model.astype(next((array.dtype for array in state.values()), np.dtype(np.float32)))
    except ChainruleError as error:
        raise DataError(f"{path}: {error}: save it again, or build the model and {_by_hand(path)}") from None
    return model


def read_state(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The arrays of a safetensors file by name, for `model.load_state_dict`. Raises the same errors as `load`."""
    return _read(as_path("read_state", path))[0]


def _by_hand(path: Any) -> str:
    return f"call model.load_state_dict(chainrule.interop.safetensors.read_state({str(path)!r}))"


def _read(path: Path) -> tuple[dict[str, Array], Description | None]:
    """The arrays in a file and the metadata that `save` wrote, if any."""
    state, metadata = read_arrays(path)
    if "chainrule" not in metadata:
        return state, None
    place = f"{path}: its description of the model"
    note = parse(place, metadata["chainrule"], AGAIN)
    if not isinstance(note, dict) or note.get("format") != FORMAT:
        raise DataError(f"{path}: its model is described in a format unknown to this version: update chainrule")
    return state, convert(place, note, Description, AGAIN)
