"""How many workers to use: measured while the program runs, since results do not depend on it.

A machine that has other work to do, or a program of small instructions, may be quicker on fewer workers. Now and then a
few steps are run with another number; where they are quicker, that number is used from then on.
"""

from __future__ import annotations

FIRST_GAP, LONGEST_GAP = 2, 64  # runs between trials of another number; doubled each time the choice is confirmed
SHARE = 16  # a trial takes this part of a run's steps
GAIN = 0.95  # another number must take less than this part of the time
WORSE = 1.4  # a run this much slower than usual calls for a trial at once: the machine has changed


class Team:
    """Chooses among 1, half, all but one, and all of `most` workers; `start` is the first choice."""

    def __init__(self, most: int, start: int) -> None:
        self.candidates = sorted({1, max(1, most // 2), max(1, most - 1), most}) if start > 1 else [1]
        self.choice = start
        self.seconds: dict[int, float] = {}  # a step's time, by number of workers; that of the choice is smoothed
        self.gap = self.left = FIRST_GAP
        self.turn = 0

    def plan(self, steps: int) -> list[tuple[int, int]]:
        """How to divide the next run: (workers, steps) one after the other."""
        self.left -= 1
        if self.left > 0 or len(self.candidates) == 1:
            return [(self.choice, steps)]
        self.left = self.gap
        others = [c for c in self.candidates if c != self.choice]
        self.turn += 1
        trial = max(1, steps // SHARE)
        return [(w, n) for w, n in ((others[self.turn % len(others)], trial), (self.choice, steps - trial)) if n]

    def measure(self, workers: int, steps: int, seconds: float) -> None:
        """Take in what a part of a run took."""
        new, usual = seconds / steps, self.seconds.get(workers)
        trial = workers != self.choice
        self.seconds[workers] = new if usual is None or trial else 0.5 * (usual + new)
        if trial:
            current = self.seconds.get(self.choice)
            better = current is not None and self.seconds[workers] < GAIN * current
            self.choice = workers if better else self.choice
            self.gap = FIRST_GAP if better else min(2 * self.gap, LONGEST_GAP)
        elif usual is not None and new > WORSE * usual:
            self.left, self.gap = min(self.left, 1), FIRST_GAP
