"""A worker's box: the words through which it gets its shares, and the times it keeps."""

from __future__ import annotations

# What the worker does, its share, how long it lingers afterwards, the time of an offer of its processor that nobody
# takes, until when others want it and for how long they were believed to, whether the worker was parked when it was
# given the share and must be woken, and two for the clock to write to.
STATE, JOB, NUMBER, PATIENCE, OFFER, WANTED, RESPECT, ASLEEP, CLOCK, BOX = 0, 1, 2, 3, 4, 5, 6, 7, 8, 16
PARKED, LINGERING, GIVEN, RUNNING = range(4)
LINGER = 1_000_000  # nanoseconds after a share in which the next one is likely
TAKEN = 50_000  # nanoseconds: an offer that takes longer was taken
# Nanoseconds for which a worker then parks after each share: it is woken in front of busy threads, while one that made
# an offer waits until they have had their turn. Doubled each time, halved where nobody took an offer.
LEAST_RESPECT, MOST_RESPECT = 10_000_000, 1_000_000_000
OFFERS = 1000  # of the processor in one call of `complete`, so that Ctrl-C is answered soon
