"""The words of a program's state: one int64 array that every instruction may read, written only between barriers."""

from __future__ import annotations

STOP = 0  # non-zero ends the replay after the instruction that set it
STEP = 1  # number of the current step, from 0, counted over the whole training
POSITION = 2  # which step of the current call this is, from 0
SEED = 3  # key of every random number of the program
LARGE = 4  # non-zero while a parameter or a state of the optimizer is too large for the update's kernel
LOOK = 5  # non-zero where the first step of a call looks whether a parameter is, as it may have been set
WORDS = 8  # one cache line
