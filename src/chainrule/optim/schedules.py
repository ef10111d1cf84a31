"""Learning-rate schedules: functions of the step that return a factor, lr(step) = optimizer.lr · schedule(step).

Steps are counted from 0 over the whole training. Each schedule takes one step or an array of them. Any callable of the
step can be used as a schedule; `factors` calls it once for many steps if it accepts an array.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule.errors import OptionError
from chainrule.settings import flag, number, whole

Factors: TypeAlias = NDArray[np.float64]
Schedule: TypeAlias = Callable[[Any], Any]


def factors(schedule: Schedule | None, steps: NDArray[np.int64]) -> Factors:
    """The factor of every step in `steps` (n,) as float64 (n,); 1 without a schedule.

    A callable that cannot take an array, or does not return one value per step, is called once for each step.
    Raises OptionError for a factor that is not a finite number of at least 0.
    Example: factors(lambda step: 0.5 ** (step // 100), np.arange(1000))
    """
    if schedule is None or steps.size == 0:
        return np.ones(steps.shape)
    try:
        answer = np.asarray(schedule(steps), dtype=np.float64)
    except (TypeError, ValueError, IndexError):
        answer = np.empty(0)  # written for a single step: any other mistake is raised again below
    if answer.shape != steps.shape:
        answer = np.array([_factor(schedule, int(step)) for step in steps])
    wrong = ~(np.isfinite(answer) & (answer >= 0))
    if wrong.any():
        at = int(np.argmax(wrong))
        raise OptionError(
            f"schedule: the factor of step {int(steps[at])} is {answer[at]}, expected a finite number of at least 0: "
            "lr of that step is optimizer.lr times the factor"
        )
    return answer


def _factor(schedule: Schedule, step: int) -> float:
    answer = schedule(step)
    try:
        return float(answer)
    except (TypeError, ValueError):
        raise OptionError(f"schedule: the factor of step {step} is {answer!r}, expected one number") from None


@dataclass(frozen=True)
class Constant:
    """The learning rate, unchanged. Formula: factor = value."""

    value: float = 1.0

    def __post_init__(self) -> None:
        number("Constant", "value", self.value, least=0)

    def __call__(self, step: ArrayLike) -> Factors:
        return np.full(np.shape(step), float(self.value))


@dataclass(frozen=True)
class Step:
    """Multiply the learning rate by `gamma` every `every` steps.

    Formula: factor = gamma^⌊step / every⌋
    Raises OptionError for every < 1 or a negative gamma.
    Example: optim.Step(every=1000, gamma=0.1)
    Source: torch.optim.lr_scheduler.StepLR, counted in steps instead of epochs.
    """

    every: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        whole("Step", "every", self.every)
        number("Step", "gamma", self.gamma, least=0)

    def __call__(self, step: ArrayLike) -> Factors:
        return np.asarray(np.power(float(self.gamma), np.asarray(step) // self.every))


@dataclass(frozen=True)
class Exponential:
    """Decay smoothly, by `gamma` over each `every` steps.

    Formula: factor = gamma^(step / every)
    Raises OptionError for every < 1 or gamma <= 0.
    Example: optim.Exponential(gamma=0.95, every=100)
    Source: torch.optim.lr_scheduler.ExponentialLR, with every = the steps of one epoch.
    """

    gamma: float
    every: int = 1

    def __post_init__(self) -> None:
        number("Exponential", "gamma", self.gamma, above=0)
        whole("Exponential", "every", self.every)

    def __call__(self, step: ArrayLike) -> Factors:
        return np.power(float(self.gamma), np.asarray(step) / self.every)


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from 1 down to `floor` over `steps` steps; then constant, or restarted.

    Formula: factor = floor + (1 - floor)·(1 + cos(π·t / T)) / 2, with t steps into a cycle of T.
    Without `restart`, T = steps and t = min(step, steps). With it, cycle n has T = steps·growthⁿ and t starts from 0 in
    each.
    Raises OptionError for steps < 1, floor outside [0, 1], growth < 1, or growth without restart.
    Example: optim.Cosine(steps=1000, floor=0.01), optim.Cosine(steps=500, restart=True, growth=2)
    Source: Loshchilov and Hutter, SGDR, ICLR 2017, eq. 5.
    """

    steps: int
    floor: float = 0.0
    restart: bool = False
    growth: int = 1

    def __post_init__(self) -> None:
        whole("Cosine", "steps", self.steps)
        number("Cosine", "floor", self.floor, least=0, most=1)
        flag("Cosine", "restart", self.restart)
        if whole("Cosine", "growth", self.growth) > 1 and not self.restart:
            raise OptionError(f"Cosine: growth is {self.growth} but there is only one cycle: add restart=True")

    def __call__(self, step: ArrayLike) -> Factors:
        position, length = self._cycle(np.asarray(step))
        return np.asarray(self.floor + (1 - self.floor) * (1 + np.cos(np.pi * position / length)) / 2)

    def _cycle(self, step: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        if not self.restart:
            return np.minimum(step, self.steps), np.asarray(self.steps)
        if self.growth == 1:
            return step % self.steps, np.asarray(self.steps)
        starts, length = [0], self.steps  # exact boundaries: a logarithm would round some into the wrong cycle
        while starts[-1] + length <= np.max(step, initial=0):
            starts.append(starts[-1] + length)
            length *= self.growth
        cycle = np.searchsorted(np.array(starts), step, side="right") - 1
        return step - np.array(starts)[cycle], self.steps * np.power(self.growth, cycle)


@dataclass(frozen=True)
class LinearWarmup:
    """Rise linearly to the full learning rate over `steps` steps, then follow another schedule.

    Formula: factor = start + (1 - start)·(step + 1) / steps while step < steps, then then(step - steps), or 1 without
    `then`. The first step already changes the weights and the last warm-up step has the full rate (torch's LinearLR
    starts at `start_factor` itself and reaches 1 a step later).
    Raises OptionError for steps < 1 or start outside [0, 1].
    Example: optim.LinearWarmup(100, then=optim.Cosine(900))
    Source: Goyal et al., Accurate, Large Minibatch SGD, 2017, section 2.2.
    """

    steps: int
    then: Schedule | None = None
    start: float = 0.0

    def __post_init__(self) -> None:
        whole("LinearWarmup", "steps", self.steps)
        number("LinearWarmup", "start", self.start, least=0, most=1)
        if self.then is not None and not callable(self.then):
            raise OptionError(f"LinearWarmup: then is {self.then!r}, expected a schedule or any callable of the step")

    def __call__(self, step: ArrayLike) -> Factors:
        at = np.atleast_1d(np.asarray(step))
        result = np.asarray(self.start + (1 - self.start) * np.minimum(at + 1, self.steps) / self.steps)
        if self.then is not None:
            after = at >= self.steps  # only those steps: `then` may be a table with an end
            result[after] = factors(self.then, at[after] - self.steps)
        return result.reshape(np.shape(step))


@dataclass(frozen=True)
class OneCycle:
    """Rise to the full learning rate, then fall far below the start; optimizer.lr is the peak.

    Formula: with low = 1 / start_div, end = low / end_div, up = warmup·steps - 1 and down = steps - 1 - up,
    factor = mix(low, 1, step / up) while step <= up, then mix(1, end, (step - up) / down),
    mix(a, b, t) = b + (a - b)·(1 + cos(π·t)) / 2. Steps beyond `steps` keep the last value.
    Raises OptionError for steps < 2, warmup outside (0, 1), or a divisor below 1.
    Example: optim.OneCycle(steps=2000)
    Source: Smith and Topin, Super-Convergence, 2018; torch.optim.lr_scheduler.OneCycleLR, with its defaults.
    """

    steps: int
    warmup: float = 0.3
    start_div: float = 25.0
    end_div: float = 1e4

    def __post_init__(self) -> None:
        whole("OneCycle", "steps", self.steps, least=2)
        number("OneCycle", "warmup", self.warmup, above=0, below=1)
        number("OneCycle", "start_div", self.start_div, least=1)
        number("OneCycle", "end_div", self.end_div, least=1)

    def __call__(self, step: ArrayLike) -> Factors:
        low = 1 / self.start_div
        top = max(self.warmup * self.steps - 1, 0.0)  # where the rate is full
        at = np.minimum(np.asarray(step), self.steps - 1)
        rising = _mix(low, 1.0, at / top if top > 0 else np.ones(at.shape))
        falling = _mix(1.0, low / self.end_div, (at - top) / (self.steps - 1 - top))
        return np.asarray(np.where(at <= top, rising, falling))


def _mix(a: float, b: float, t: Any) -> Any:
    return b + (a - b) * (1 + np.cos(np.pi * t)) / 2
