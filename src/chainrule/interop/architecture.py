"""A model's architecture as plain data, saved together with its weights; for models made of chainrule's layers.

    {"type": "Sequential", "inside": {"0": {"type": "Linear", "config": {"in_features": 64, ...}}, "1": {"type":
    "ReLU", ...}}}

A layer used in several places is {"same": "path of the first"}. Nothing else is ever built from such data: a file
cannot name other code to run. The model is built without memory for its weights, so a small file cannot exhaust memory.
"""

from __future__ import annotations

from typing import Any

from chainrule import nn
from chainrule.errors import ChainruleError, DataError, OptionError
from chainrule.nn.weights import outlined
from chainrule.settings import one_line, shown

CONTAINERS = ("Sequential", "Residual", "TiedOutput")
MOST_LAYERS = 10_000
DEEPEST = 100  # nesting of layers
LAYERS = {name: value for name, value in vars(nn).items() if isinstance(value, type) and issubclass(value, nn.Module)}


def describe(model: nn.Module) -> dict[str, Any] | None:
    """The architecture of a model; None if it contains a class that is not one of chainrule's layers.

    Raises OptionError for more layers, or more deeply nested ones, than `build` accepts.
    """
    layers = model.named_modules()
    if len(layers) > MOST_LAYERS or any(path.count(".") >= DEEPEST for path in layers):
        raise OptionError(
            f"save: the model has {len(layers):,} layers, {max(path.count('.') for path in layers) + 1} deep: "
            f"a file describes at most {MOST_LAYERS:,}, {DEEPEST} deep: save model.state_dict() instead"
        )
    seen: dict[int, str] = {}

    def part(module: nn.Module, path: str) -> dict[str, Any]:
        if id(module) in seen:
            return {"same": seen[id(module)]}
        seen[id(module)] = path
        inside = {name: part(child, _join(path, name)) for name, child in module.named_children().items()}
        config = {"inside": inside} if type(module).__name__ in CONTAINERS else {"config": module.config()}
        return {"type": type(module).__name__, **config}

    return part(model, "") if foreign_class(model) is None else None


def foreign_class(model: nn.Module) -> str | None:
    """The name of the first class in the model that is not one of chainrule's layers."""
    kinds = (type(module) for module in model.named_modules().values())
    return next((kind.__name__ for kind in kinds if LAYERS.get(kind.__name__) is not kind), None)


def build(description: Any) -> nn.Module:
    """The model described, without memory for its weights, which must be set. Raises DataError for anything that
    `describe` would not have written.
    """
    built: dict[str, nn.Module] = {}

    def part(data: Any, path: str) -> nn.Module:
        keys = set(data) if isinstance(data, dict) else set()
        if keys == {"same"}:
            return _first(built, data["same"], path)
        if len(built) >= MOST_LAYERS or path.count(".") >= DEEPEST:
            raise DataError(f"it has more than {MOST_LAYERS:,} layers, or more than {DEEPEST} nested in each other")
        kind = LAYERS.get(data["type"]) if "type" in keys and isinstance(data["type"], str) else None
        content = "inside" if kind is not None and kind.__name__ in CONTAINERS else "config"
        if kind is None or keys != {"type", content} or not isinstance(data[content], dict):
            raise DataError(f"{_layer(path)} is {shown(data)}, which is no layer of this version")
        layers = [part(child, _join(path, name)) for name, child in data["inside"].items()] if "inside" in data else []
        try:
            built[path] = kind(*layers) if content == "inside" else kind(**data["config"])
        except (TypeError, ValueError, LookupError, ArithmeticError, ChainruleError) as error:
            raise DataError(f"{_layer(path)}: {kind.__name__} cannot be made ({one_line(str(error))})") from None
        _check_names(list(data[content]), built[path], path)
        return built[path]

    try:
        with outlined():
            return part(description, "")
    except DataError as error:
        raise DataError(f"its architecture is not one this version can build: {error}") from None


def _check_names(names: list[str], module: nn.Module, path: str) -> None:
    """Raise DataError unless the layers inside a container, in order, or a layer's arguments have their own names."""
    inside = type(module).__name__ in CONTAINERS
    expected = list(module.named_children()) if inside else sorted(module.config())
    if (names if inside else sorted(names)) != expected:
        raise DataError(f"{_layer(path)} has {shown(names)}, expected {shown(expected)}")


def _first(built: dict[str, nn.Module], same: Any, path: str) -> nn.Module:
    """The layer, made before, that another place refers to."""
    if not isinstance(same, str) or same not in built:
        raise DataError(f"{_layer(path)} is the same as {shown(same)}, which is no layer before it")
    return built[same]


def _layer(path: str) -> str:
    return f"layer {shown(path)}" if path else "the model"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
