"""How many steps to run in one native call."""

from __future__ import annotations

STRETCH = 0.04  # seconds in one call: Ctrl-C waits for it, progress updates after it, 10 us of Python are negligible
GROWTH = 8  # at most this many times the steps of the previous call: the first calls are still warming up
MOST = 1 << 16  # steps in one call: limits the memory of its indices and losses


class Pace:
    """Measures steps of one batch size and says how many of them fill STRETCH seconds."""

    def __init__(self) -> None:
        self.steps = 1
        self.seconds = float("inf")  # per step, in the latest call

    def measure(self, steps: int, seconds: float) -> None:
        """Record how long a call of `steps` steps took."""
        if 2 * steps < self.steps and seconds < STRETCH:
            return  # the short rest of an epoch: mostly overhead
        self.seconds = seconds / steps
        fitting = STRETCH / self.seconds if self.seconds > 0 else MOST
        self.steps = max(1, min(int(fitting), GROWTH * max(steps, self.steps // GROWTH), MOST))

    @property
    def short(self) -> bool:
        """Whether a single step is known to be short."""
        return self.seconds < 2 * STRETCH
