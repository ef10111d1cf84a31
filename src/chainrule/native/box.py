"""A worker's box: the words through which it gets its shares, and the times it keeps."""

from __future__ import annotations

# What the worker does, the job and the number of its share, how long it spins afterwards, the longest yield that no
# other thread used, until when others are assumed to need the processor, how long that was assumed last, whether the
# worker was parked when the share was handed out and must be woken, and two words for the clock.
STATE, JOB, NUMBER, SPIN_TIME, YIELD, BUSY_UNTIL, BACKOFF, ASLEEP, CLOCK, BOX = 0, 1, 2, 3, 4, 5, 6, 7, 8, 16
PARKED, SPINNING, HANDED_OUT, RUNNING = range(4)
SPIN = 1_000_000  # nanoseconds after a share within which the next one is likely
LONG_YIELD = 50_000  # nanoseconds: in a longer yield, another thread ran
# Nanoseconds for which a worker then parks after each share: a woken worker runs before busy threads, while one that
# yields waits until they have had their turn. Doubled each time, halved when nobody used a yield.
LEAST_BACKOFF, MOST_BACKOFF = 10_000_000, 1_000_000_000
YIELDS = 1000  # in one call of `complete`, so that Ctrl-C is handled soon
