"""Settings -> the objects they name: network, loss, optimizer, schedule."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from chainrule import models, nn, optim
from chainrule.cli.settings import (
    CNN,
    DEFAULT_LR,
    LEAST,
    LOSSES,
    LSTM,
    MLP,
    MOMENTUM,
    OF_IMAGES,
    OF_TEXT,
    OPTIMIZERS,
    SCHEDULES,
    Settings,
    in_python,
)
from chainrule.data.augmentation import Augmentation, Crop, CutOut, Flip, Rotate, Shift, Transformation
from chainrule.data.limits import size_text
from chainrule.data.names import nearest, suggestion
from chainrule.data.preparation import Preparation
from chainrule.data.scaling import Scaling
from chainrule.data.sources import BUNDLED
from chainrule.errors import OptionError, ShapeError
from chainrule.native.machine import free_memory
from chainrule.nn.activations import Activation
from chainrule.nn.weights import outlined
from chainrule.settings import quoted
from chainrule.train import Trainer, metrics
from chainrule.train.evaluation import Metric

LOSSES_OF = {  # the first is the default
    "classify": ("cross-entropy",),
    "regress": ("mse", "mae", "huber"),
    "generate": ("cross-entropy",),
}
MODELS = ("linear", "mlp")
MOST_HIDDEN, MOST_UNITS = 1000, 10**9


def takes_images(model: str | None) -> bool:
    """Whether a network takes images only."""
    return model in OF_IMAGES


def takes_text(model: str | None) -> bool:
    """Whether a network takes text only."""
    return model is not None and model.partition(":")[0] in OF_TEXT


def of_an_mlp(settings: Settings) -> list[str]:
    """The settings of an mlp alone that differ from their defaults."""
    given = {"activation": settings.activation != "relu", "dropout": settings.dropout > 0}
    return [name for name, is_given in given.items() if is_given]


def choose_network(settings: Settings, preparation: Preparation) -> tuple[str, str | None]:
    """The network for prepared data, and a line that names it if it was not given."""
    if settings.model is not None:
        return settings.model, None
    other, inputs = "mlp:64,64", preparation.input_shape
    if preparation.kind == "text":
        model, why, other = LSTM, "for text", "lstm:256,256 or gru:128"
    elif len(inputs) == 1:
        model, why = MLP, "for tables"
        if settings.data in BUNDLED and not of_an_mlp(settings):
            other += f", or {CNN} to treat the rows as images"
    elif of_an_mlp(settings):
        model, why = MLP, f"with --{of_an_mlp(settings)[0]}"
    elif min(inputs[:2]) < LEAST:
        model, why = MLP, f"for images smaller than {LEAST} x {LEAST}"
    else:
        model, why, other = CNN, "for images", f"resnet20 or {MLP}"
    return model, f"network {in_python(model)}, the default {why}: choose another with --model, such as {other}"


OF_KIND = {  # settings that apply to one kind of data
    "table": {"target", "drop", "keep_index", "na", "missing"},
    "images": {"image_size", "broken", "augment"},
    "text": {"tokens", "length"},
}


def foreign_settings(kind: str) -> set[str]:
    """The settings that do not apply to a kind of data."""
    foreign = set().union(*(names for other, names in OF_KIND.items() if other != kind))
    return foreign | {"data_dir"} if kind == "table" else foreign


def relevant_settings(settings: Settings, kind: str) -> dict[str, Any]:
    """The settings of a run that have a value and apply to its kind of data and network."""
    foreign = foreign_settings(kind)
    if settings.model in OF_IMAGES or settings.model == "linear":
        foreign |= {"activation", "dropout"}
    if takes_text(settings.model):
        foreign |= {"activation"}
    return {k: v for k, v in settings.to_dict().items() if k not in foreign and v not in (None, [])}


def check(settings: Settings) -> None:
    """OptionError for settings that are wrong whatever the data, before any is read."""
    if takes_images(settings.model) or settings.model == "linear":
        for name in of_an_mlp(settings):
            what = "has no hidden layers" if settings.model == "linear" else f"has its own {name}"
            raise OptionError(f"{name}: {settings.model} {what}: leave it out, or choose a --model such as mlp:64")
    if takes_text(settings.model):
        recurrent_sizes(settings.model or "")
        if settings.activation != "relu":
            raise OptionError(f"activation: {settings.model} has its own activation: leave it out")
    elif settings.model is not None and not takes_images(settings.model):
        hidden_sizes(settings.model)
    transformations(settings)
    build_optimizer(settings)
    build_schedule(settings, steps_per_epoch=1)
    if settings.task:
        loss_name(settings, settings.task)


def hidden_sizes(model: str) -> tuple[int, ...]:
    """`"mlp:64,32"` -> (64, 32), `"linear"` -> (); OptionError for anything else."""
    kind, _, sizes = model.partition(":")
    if kind not in MODELS:
        raise OptionError(f"model: {quoted(model)} is unknown: {_known_networks(kind)}")
    if kind == "linear":
        if sizes:
            raise OptionError(f"model: {quoted(model)}: linear has no hidden layers: use linear or mlp:{sizes}")
        return ()
    hidden = _units(sizes)
    if not hidden:
        raise OptionError(
            f"model: {quoted(model)}: expected the sizes of the hidden layers (at most {MOST_HIDDEN:,}), each at least "
            f"1 and at most {MOST_UNITS:,}, as in mlp:64,64"
        )
    return hidden


def recurrent_sizes(model: str) -> tuple[int, ...]:
    """`"lstm:256,256"` -> (256, 256); OptionError for layers of different sizes, and for anything else."""
    sizes = _units(model.partition(":")[2])
    if not sizes or len(set(sizes)) > 1:
        raise OptionError(
            f"model: {quoted(model)}: expected the units of each layer, the same for all, at least 1 and at most "
            f"{MOST_UNITS:,}, as in {LSTM} or {LSTM},256"
        )
    return sizes


def _units(text: str) -> tuple[int, ...]:
    """`"64,32"` -> (64, 32); nothing if it is not a list of sizes of layers."""
    try:
        sizes = tuple(int(size) for size in text.split(","))
    except ValueError:
        return ()
    return sizes if 1 <= min(sizes) <= max(sizes) <= MOST_UNITS and len(sizes) <= MOST_HIDDEN else ()


def _known_networks(kind: str) -> str:
    """The end of a message about an unknown network, with the names that `--help` uses."""
    functions = {function: name for name, function in OF_IMAGES.items()}
    near = nearest(kind, (*MODELS, *OF_TEXT, *OF_IMAGES, *functions))
    if near is not None:
        name = functions.get(near, near)
        return f'did you mean "{name}"{in_python(name).removeprefix(name)}?'
    images = ", ".join(map(in_python, OF_IMAGES))
    texts = ", ".join(f"{name}:UNITS" for name in OF_TEXT)
    return f"known are linear, mlp:SIZES such as mlp:64,64, for images {images}, and for text {texts}"


def build_model(settings: Settings, inputs: tuple[int, ...], outputs: int) -> nn.Sequential:
    """The network for rows of shape `inputs`; raises ShapeError for images that are too small for it, OptionError if
    there is no memory to train it.
    """
    assert settings.model is not None  # it was chosen
    if takes_text(settings.model):
        sizes, cell = recurrent_sizes(settings.model), settings.model.partition(":")[0]
        layers, dropout = len(sizes), settings.dropout
        return models.recurrent_language_model(outputs, sizes[0], layers=layers, cell=cell, dropout=dropout)
    with outlined():
        size = sum(parameter.size for parameter in _build_model(settings, inputs, outputs).parameters())
    states = 2 if settings.optimizer in ("adam", "adamw") else int(momentum(settings) != 0)  # of the optimizer
    needed, free = 4 * size * (2 + states), free_memory()
    if needed > free:
        raise OptionError(
            f"model: {quoted(settings.model)} has {size:,} weights, which take {size_text(needed)} in training, but "
            f"{size_text(free)} are free: use a smaller one"
        )
    return _build_model(settings, inputs, outputs)


def _build_model(settings: Settings, inputs: tuple[int, ...], outputs: int) -> nn.Sequential:
    assert settings.model is not None  # it was chosen
    if settings.model not in OF_IMAGES:
        return _build_mlp(settings, hidden_sizes(settings.model), inputs, outputs)
    build: Callable[..., nn.Sequential] = getattr(models, OF_IMAGES[settings.model])
    try:
        return build(inputs, outputs)
    except ShapeError as error:
        raise ShapeError(f"{error}, for example with --image-size") from None


def _build_mlp(settings: Settings, hidden: tuple[int, ...], inputs: tuple[int, ...], outputs: int) -> nn.Sequential:
    """Linear layers, each but the last followed by its activation and dropout; images are flattened first."""
    activation = {layer.op.name: layer for layer in Activation.__subclasses__()}[settings.activation]
    layers: list[Any] = [nn.Flatten()] if len(inputs) > 1 else []
    width = math.prod(inputs)
    for size in hidden:
        layers += [nn.Linear(width, size), activation()]
        if settings.dropout > 0:
            layers.append(nn.Dropout(settings.dropout))
        width = size
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def loss_name(settings: Settings, task: str) -> str:
    """The loss chosen, or the task's own; OptionError for one that does not fit the task."""
    fitting = LOSSES_OF[task]
    name = settings.loss or fitting[0]
    if name not in fitting:
        fit = " or ".join(fitting)
        raise OptionError(f"loss: {name} does not fit the task {task}: use --loss {fit}, or another --task")
    return name


def learning_rate(settings: Settings) -> float:
    return DEFAULT_LR[settings.optimizer] if settings.lr is None else settings.lr


def momentum(settings: Settings) -> float | None:
    """The momentum chosen, or the optimizer's own; OptionError where the optimizer has none."""
    if settings.optimizer == "sgd":
        return MOMENTUM if settings.momentum is None else settings.momentum
    if settings.momentum is not None:
        raise OptionError(f"momentum: {settings.optimizer} takes no momentum: leave it out, or use --optimizer sgd")
    return None


def build_optimizer(settings: Settings) -> Any:
    kind = getattr(optim, OPTIMIZERS[settings.optimizer])
    options: dict[str, float] = {"weight_decay": settings.weight_decay}
    value = momentum(settings)
    if value is not None:
        options["momentum"] = value
    return kind(lr=learning_rate(settings), **options)


def build_trainer(model: nn.Module, settings: Settings, preparation: Preparation, steps_per_epoch: int = 1) -> Trainer:
    """The trainer of a run; its MAE is in the target's own units."""
    return Trainer(
        model,
        loss=getattr(nn, LOSSES[loss_name(settings, preparation.task)])(),
        optimizer=build_optimizer(settings),
        schedule=build_schedule(settings, steps_per_epoch),
        clip_norm=settings.clip_norm,
        seed=settings.seed,
        threads=settings.threads,
        memory_limit=settings.memory_limit,
        engine=settings.engine,
        metrics=_own_units(preparation.quantity),
    )


def _own_units(quantity: Scaling | None) -> dict[str, Metric]:
    """The metrics of a scaled quantity that depend on its unit, in the unit of the data."""
    if quantity is None:
        return {}
    return {"mae": lambda outputs, targets: metrics.mae(quantity.undo(outputs), quantity.undo(targets))}


def build_schedule(settings: Settings, steps_per_epoch: int) -> Any:
    """The schedule of a run, with its warm-up; None for a constant rate."""
    left = settings.epochs - settings.warmup_epochs
    if left < 1:
        raise OptionError(
            f"warmup_epochs: {settings.warmup_epochs} of {settings.epochs} epochs leave none to train in: use fewer"
        )
    warmup = steps_per_epoch * settings.warmup_epochs
    schedule = _schedule(settings, steps_per_epoch, steps_per_epoch * left)
    return optim.LinearWarmup(warmup, then=schedule) if warmup else schedule


def _schedule(settings: Settings, steps_per_epoch: int, steps: int) -> Any:
    spec = settings.schedule
    kind, _, rest = spec.partition(":")
    if kind not in SCHEDULES:
        raise OptionError(f"schedule: {quoted(spec)} is unknown: {suggestion(kind, SCHEDULES)}")
    numbers = _numbers(spec, rest)
    limits = {"constant": (0, 0), "step": (1, 2), "exponential": (1, 1), "plateau": (0, 2)}
    least, most = limits.get(kind, (0, 1))
    if not least <= len(numbers) <= most:
        expected = f"{least}" if least == most else f"{least} to {most}"
        raise OptionError(
            f"schedule: {quoted(spec)} has {len(numbers)} numbers after the colon, {kind} takes {expected}: "
            "`chainrule train --help` shows each schedule"
        )
    if kind == "cosine":
        return optim.Cosine(steps, floor=(numbers or [0.0])[0])
    if kind == "one-cycle":
        return optim.OneCycle(max(steps, 2), *numbers)
    if kind == "step":
        return optim.Step(_whole(spec, numbers[0]) * steps_per_epoch, *numbers[1:])
    if kind == "exponential":
        return optim.Exponential(numbers[0], every=steps_per_epoch)
    if kind == "plateau":
        monitor = "val_loss" if settings.val_size > 0 else "loss"
        patience = [_whole(spec, n) for n in numbers[:1]] or [10]
        return optim.ReduceOnPlateau(monitor, patience=patience[0], factor=(numbers[1:] or [0.1])[0])
    return None


def build_augmentation(settings: Settings, preparation: Preparation) -> Augmentation | None:
    """The augmentation of the training images, with black for pixels from outside the image."""
    if settings.augment is None or preparation.kind != "images":
        return None
    return Augmentation(transformations(settings), preparation.black())


def transformations(settings: Settings) -> list[Transformation]:
    """`"shift:2,flip"` -> [Shift(2), Flip()]; OptionError for an unknown kind or an invalid number."""
    return [_transformation(part.strip()) for part in (settings.augment or "").split(",") if part.strip()]


def _transformation(spec: str) -> Transformation:
    """`"shift:2"` -> Shift(2)."""
    kind, _, value = spec.partition(":")
    kinds: dict[str, Callable[..., Transformation]] = {
        "shift": Shift,
        "flip": Flip,
        "crop": Crop,
        "rotate": Rotate,
        "cutout": CutOut,
    }
    if kind not in kinds:
        raise OptionError(f"augment: {quoted(spec)} is unknown: {suggestion(kind, kinds)}")
    if not value:
        return kinds[kind]()
    if kind == "flip":
        raise OptionError(f"augment: {quoted(spec)}: flip takes no number: write flip")
    try:
        number = float(value)
    except ValueError:
        raise OptionError(f"augment: {quoted(spec)}: expected a number after the colon, as in shift:2") from None
    return kinds[kind](int(number) if number.is_integer() and kind in ("shift", "cutout") else number)


def _numbers(spec: str, rest: str) -> list[float]:
    try:
        return [float(part) for part in rest.split(",")] if rest else []
    except ValueError:
        raise OptionError(f"schedule: {quoted(spec)}: expected numbers after the colon, as in step:20,0.5") from None


def _whole(spec: str, value: float) -> int:
    if not value.is_integer():
        raise OptionError(f"schedule: {quoted(spec)}: a number of epochs must be whole, got {value:g}")
    return int(value)
