"""The words of a program's state: one int64 array that every instruction may read, written only between barriers."""

from __future__ import annotations

STOP = 0  # non-zero ends the replay after the instruction that set it
NOT_FINITE, WRONG_LABEL = 1, 2  # what it may be: why
STEP = 1  # number of the current step, from 0, counted over the whole training
POSITION = 2  # which step of the current call this is, from 0
SEED = 3  # key of every random number of the program
LARGE = 4  # number of the latest step whose update left a value that is large: the next one is tried before it is made
WORDS = 8  # one cache line
