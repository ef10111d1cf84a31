"""How many steps to run in one native call."""

from __future__ import annotations

STRETCH = 0.04  # seconds in one call: Ctrl-C waits for it, progress moves by it, and 10 us of Python beside it vanish
GROWTH = 8  # at most so many times more steps than the call before: the first calls are still warming up
MOST = 1 << 16  # steps in one call: bounds the memory of its indices and losses


class Pace:
    """Measures steps of one batch size and says how many of them fill STRETCH seconds."""

    def __init__(self) -> None:
        self.steps = 1
        self.seconds = float("inf")  # of one step, by the latest call

    def measure(self, steps: int, seconds: float) -> None:
        """Take in how long a call of `steps` steps took."""
        if 2 * steps < self.steps and seconds < STRETCH:
            return  # the short end of an epoch: mostly overhead
        self.seconds = seconds / steps
        fitting = STRETCH / self.seconds if self.seconds > 0 else MOST
        self.steps = max(1, min(int(fitting), GROWTH * max(steps, self.steps // GROWTH), MOST))

    @property
    def short(self) -> bool:
        """Whether even a single step is known to be over soon."""
        return self.seconds < 2 * STRETCH
