"""How many workers to use: measured while the program runs, since results do not depend on it.

On a busy machine, or with small instructions, fewer workers may be faster. Runs are cut into parts of a few hundredths
of a second, and short runs share a part; now and then a short part runs with another number of workers, which is kept
if it is faster.
"""

from __future__ import annotations

import math

PART = 0.02  # seconds of one part: how soon a change in load is noticed
# A trial of another number takes this share of a part: long beside the waking of its threads. A glance goes before it,
# so that a trial on a busy machine, where workers wait for whole time slices, ends soon.
TRIAL, GLANCE = 1 / 4, 1 / 64
FIRST_GAP, LONGEST_GAP = 4, 16  # parts between trials; doubled each time the choice is confirmed
GAIN = 0.95  # another number must take less than this fraction of the time
WORSE = 1.4  # a part this much slower than the best is followed by a short one; if that is slow too, by a trial


class Team:
    """Chooses among 1, half, all but one, and all of `most` workers, starting with all; `fixed` always uses all.

    >>> team = Team(most=2)
    >>> workers, part = team.part(1000)             # run `part` steps with `workers`, then tell
    >>> team.measure(workers, part, seconds=0.01)
    """

    def __init__(self, most: int, fixed: bool = False) -> None:
        self.candidates = [most] if fixed else sorted({1, max(1, most // 2), max(1, most - 1), most})
        self.choice = most
        self.seconds: dict[int, float] = {}  # of one step, by number of workers; that of the choice is smoothed
        self.gap = self.left = FIRST_GAP
        self.turn = self.slow = 0
        self.promising = 0  # the number of workers whose glance was good enough for a trial
        self.best = math.inf  # of the choice, seconds of one step
        # The part: with how many workers, steps and seconds it should take, and has taken.
        self.workers, self.planned, self.length, self.done, self.spent = most, 1, PART, 0, 0.0

    def part(self, steps: int) -> tuple[int, int]:
        """The number of workers for the next part of a run of `steps`, and how many of the steps it takes."""
        if len(self.candidates) == 1:
            return self.choice, steps
        if self.done == 0:
            self._plan()
        return self.workers, max(1, min(steps, self.planned - self.done))

    def _plan(self) -> None:
        """Start a part: the number of workers and its length."""
        self.workers, share = self.choice, 1.0
        if self.promising:
            self.workers, share = self.promising, TRIAL
        else:
            self.left -= 1
            if self.left > 0:
                share = TRIAL if self.slow else 1
            else:
                self.left = self.gap
                self.turn += 1
                others = [c for c in self.candidates if c != self.choice]
                self.workers, share = others[self.turn % len(others)], GLANCE
        fitting = PART / self.seconds[self.choice] if self.choice in self.seconds else 1
        self.planned, self.length = max(1, round(fitting * share)), PART * share

    def measure(self, workers: int, steps: int, seconds: float) -> None:
        """Record the time of a part, or of some of its steps."""
        self.done, self.spent = self.done + steps, self.spent + seconds
        if self.done < self.planned and self.spent < self.length:
            return
        steps, seconds = self.done, self.spent
        self.done, self.spent = 0, 0.0
        new, usual = seconds / steps, self.seconds.get(workers)
        trial = workers != self.choice
        if trial and not self.promising and new < WORSE * self.seconds.get(self.choice, 0.0):
            self.promising = workers
            return
        self.seconds[workers] = new if usual is None or trial else 0.5 * (usual + new)
        if trial:
            better = new < GAIN * self.seconds.get(self.choice, 0.0)
            if better:
                self.choice, self.best = workers, new
            self.gap = FIRST_GAP if better else min(2 * self.gap, LONGEST_GAP)
            self.left = self.gap
            self.slow = self.promising = 0
        elif usual is not None:
            self.slow = self.slow + 1 if new > WORSE * self.best else 0
            self.best = min(self.best, new)
            if self.slow == 2:
                self.left, self.gap = min(self.left, 1), FIRST_GAP
