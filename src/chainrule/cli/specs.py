"""Settings -> the objects they name: network, loss, optimizer, schedule."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from chainrule import models, nn, optim
from chainrule.cli.settings import OF_IMAGES, SCHEDULES, Settings
from chainrule.data.augmentation import Augmentation, Crop, CutOut, Flip, Rotate, Shift, Transformation
from chainrule.data.images import ImagePreparation
from chainrule.data.names import nearest, suggestion
from chainrule.data.recipe import Recipe
from chainrule.errors import OptionError

DEFAULT_LR = {"sgd": 0.05, "rmsprop": 1e-3, "adagrad": 1e-2, "adam": 1e-3, "adamw": 1e-3}
MOMENTUM = 0.9  # of sgd
LOSSES_OF = {"classify": ("cross-entropy",), "regress": ("mse", "mae", "huber")}  # the first is the default
MODELS = ("linear", "mlp")


def takes_images(model: str) -> bool:
    """Whether a network takes images only."""
    return model in OF_IMAGES


def check(settings: Settings) -> None:
    """OptionError for settings that no data can make good, so that none is read in vain."""
    if takes_images(settings.model):
        for name, value in (("activation", settings.activation != "relu"), ("dropout", settings.dropout)):
            if value:
                raise OptionError(f"{name}: {settings.model} has its own: leave it out, or use a model such as mlp:64")
    else:
        hidden_sizes(settings.model)
    transformations(settings)
    build_optimizer(settings)
    build_schedule(settings, steps_per_epoch=1)
    if settings.task:
        loss_name(settings, settings.task)


def hidden_sizes(model: str) -> tuple[int, ...]:
    """`"mlp:64,32"` -> (64, 32) and `"linear"` -> (); OptionError for anything else."""
    kind, _, sizes = model.partition(":")
    if kind not in MODELS:
        near = nearest(kind, (*MODELS, *OF_IMAGES))
        known = f"known are linear, mlp: and the sizes of hidden layers, as in mlp:64,64, {', '.join(OF_IMAGES)}"
        raise OptionError(f'model: "{model}" is unknown: ' + (f'did you mean "{near}"?' if near else known))
    if kind == "linear":
        if sizes:
            raise OptionError(f'model: "{model}": linear has no hidden layers: write linear, or mlp:{sizes}')
        return ()
    try:
        hidden = tuple(int(size) for size in sizes.split(","))
    except ValueError:
        hidden = ()
    if not hidden or min(hidden) < 1:
        raise OptionError(f'model: "{model}": expected sizes of hidden layers, each at least 1, as in mlp:64,64')
    return hidden


def build_model(settings: Settings, inputs: tuple[int, ...], outputs: int) -> nn.Sequential:
    """The network for rows of shape `inputs`; raises ShapeError for images that are too small for it."""
    if not takes_images(settings.model):
        return _build_mlp(settings, inputs, outputs)
    networks: dict[str, Callable[..., nn.Sequential]] = {
        "cnn": models.small_cnn,
        "lenet": models.lenet5,
        "resnet20": models.resnet20,
        "resnet32": models.resnet32,
        "resnet56": models.resnet56,
    }
    return networks[settings.model](inputs, outputs)


def _build_mlp(settings: Settings, inputs: tuple[int, ...], outputs: int) -> nn.Sequential:
    """Linear layers, each but the last followed by its activation and dropout; images are made flat."""
    activations: dict[str, Callable[[], Any]] = {
        "relu": nn.ReLU,
        "leaky_relu": nn.LeakyReLU,
        "elu": nn.ELU,
        "gelu": nn.GELU,
        "silu": nn.SiLU,
        "sigmoid": nn.Sigmoid,
        "tanh": nn.Tanh,
        "softplus": nn.Softplus,
    }
    layers: list[Any] = [nn.Flatten()] if len(inputs) > 1 else []
    width = math.prod(inputs)
    for size in hidden_sizes(settings.model):
        layers += [nn.Linear(width, size), activations[settings.activation]()]
        if settings.dropout > 0:
            layers.append(nn.Dropout(settings.dropout))
        width = size
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def loss_name(settings: Settings, task: str) -> str:
    """The loss chosen, or the task's own; OptionError for one that does not fit the task."""
    fitting = LOSSES_OF[task]
    name = settings.loss or fitting[0]
    if name not in fitting:
        raise OptionError(f"loss: {name} does not fit the task {task}: use {' or '.join(fitting)}, or another --task")
    return name


def build_loss(name: str) -> Any:
    losses = {"cross-entropy": nn.CrossEntropyLoss, "mse": nn.MSELoss, "mae": nn.L1Loss, "huber": nn.HuberLoss}
    return losses[name]()


def learning_rate(settings: Settings) -> float:
    return DEFAULT_LR[settings.optimizer] if settings.lr is None else settings.lr


def momentum(settings: Settings) -> float | None:
    """The momentum chosen, or the optimizer's own; OptionError where the optimizer has none."""
    if settings.optimizer == "sgd":
        return MOMENTUM if settings.momentum is None else settings.momentum
    if settings.momentum is not None:
        raise OptionError(f"momentum: {settings.optimizer} has none: leave it out, or use --optimizer sgd")
    return None


def build_optimizer(settings: Settings) -> Any:
    kinds = {
        "sgd": optim.SGD,
        "rmsprop": optim.RMSprop,
        "adagrad": optim.Adagrad,
        "adam": optim.Adam,
        "adamw": optim.AdamW,
    }
    options: dict[str, float] = {"weight_decay": settings.weight_decay}
    value = momentum(settings)
    if value is not None:
        options["momentum"] = value
    return kinds[settings.optimizer](lr=learning_rate(settings), **options)


def build_schedule(settings: Settings, steps_per_epoch: int) -> Any:
    """The schedule of a run, with its warm-up; None for a constant rate."""
    left = settings.epochs - settings.warmup_epochs
    if left < 1:
        raise OptionError(f"warmup_epochs: {settings.warmup_epochs} of {settings.epochs} epochs leave none: use fewer")
    warmup = steps_per_epoch * settings.warmup_epochs
    schedule = _schedule(settings, steps_per_epoch, steps_per_epoch * left)
    return optim.LinearWarmup(warmup, then=schedule) if warmup else schedule


def _schedule(settings: Settings, steps_per_epoch: int, steps: int) -> Any:
    spec = settings.schedule
    kind, _, rest = spec.partition(":")
    if kind not in SCHEDULES:
        raise OptionError(f'schedule: "{spec}" is unknown: {suggestion(kind, SCHEDULES)}')
    numbers = _numbers(spec, rest)
    limits = {"constant": (0, 0), "step": (1, 2), "exponential": (1, 1), "plateau": (0, 2)}
    least, most = limits.get(kind, (0, 1))
    if not least <= len(numbers) <= most:
        expected = f"{least}" if least == most else f"{least} to {most}"
        raise OptionError(f'schedule: "{spec}" has {len(numbers)} numbers, {kind} takes {expected}')
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


def build_augmentation(settings: Settings, preparation: Recipe) -> Augmentation | None:
    """What happens to the training images, with black for pixels from outside."""
    if settings.augment is None or not isinstance(preparation, ImagePreparation):
        return None
    return Augmentation(transformations(settings), preparation.black())


def transformations(settings: Settings) -> list[Transformation]:
    """`"shift:2,flip"` -> [Shift(2), Flip()]; OptionError for an unknown kind or a number without meaning."""
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
        raise OptionError(f'augment: "{spec}" is unknown: {suggestion(kind, kinds)}')
    if not value:
        return kinds[kind]()
    if kind == "flip":
        raise OptionError(f'augment: "{spec}": flip takes no number: write flip')
    try:
        number = float(value)
    except ValueError:
        raise OptionError(f'augment: "{spec}": expected a number after the colon, as in shift:2') from None
    return kinds[kind](int(number) if number.is_integer() and kind in ("shift", "cutout") else number)


def _numbers(spec: str, rest: str) -> list[float]:
    try:
        return [float(part) for part in rest.split(",")] if rest else []
    except ValueError:
        raise OptionError(f'schedule: "{spec}": expected numbers after the colon, as in step:20,0.5') from None


def _whole(spec: str, value: float) -> int:
    if not value.is_integer():
        raise OptionError(f'schedule: "{spec}": epochs are whole, got {value:g}')
    return int(value)
