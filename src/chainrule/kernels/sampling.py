"""Drawing the next token of a text from a model's logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import NonFiniteError
from chainrule.native.kernel import Float1, Int, Int1, Real1, Real2, device, kernel, real
from chainrule.native.memory import Array
from chainrule.native.philox import LOW, SAMPLE, philox, philox_block
from chainrule.native.state import NOT_FINITE, POSITION, SEED, STEP, STOP
from chainrule.native.vecmath import exp

SAMPLING = ("temperature", "most", "given")  # what a step's row of coefficients says
HALVINGS = 60  # of the range of logits: more than a float64 has digits


@kernel
def sample(
    tile: Int, state: Int1, logits: Real2, room: Real2, tokens: Int1, options: Float1, columns: Int
) -> None:  # fmt: skip
    """The token of sequence `tile` after this step: one of the text's own as long as it is `given`, then a draw.

    p[j] ∝ exp(x[j] / temperature) among the `most` largest logits x, those equal to the last of them included; with a
    temperature of 0 the largest. x are those of the step's last position. A step's words of Philox draw for 4 sequences
    each. Logits that are not finite stop the program.
    """
    step, sequences = state[POSITION] + 1, logits.shape[0]
    if step < np.int64(options[2]):
        return
    scores = logits[tile, logits.shape[1] - columns :]
    for j in range(scores.size):
        if scores[j] * 0.0 != 0.0:
            state[STOP] = NOT_FINITE
    key = state[SEED]
    words = philox_block(tile // 4, SAMPLE, state[STEP] & LOW, (state[STEP] >> 32) & LOW, key & LOW, (key >> 32) & LOW)
    uniform = (np.float64(words[tile % 4]) + 0.5) / 4294967296.0
    tokens[step * sequences + tile] = drawn(scores, room[tile], options[0], np.int64(options[1]), uniform)


@device
def drawn(scores: Real1, shares: Real1, temperature: float, most: int, uniform: float) -> Any:
    """The number of a score, drawn by a number between 0 and 1."""
    best = 0
    for j in range(scores.size):
        if scores[j] > scores[best]:
            best = j
    if not temperature > 0.0:
        return best
    least = threshold(scores, most)
    total = np.float64(0.0)
    for j in range(scores.size):
        distance = (np.float64(scores[j]) - np.float64(scores[best])) / temperature
        shares[j] = exp(real(distance)) if np.float64(scores[j]) >= least else real(0.0)
        total += np.float64(shares[j])
    passed = np.float64(0.0)
    for j in range(scores.size):
        passed += np.float64(shares[j])
        if passed > uniform * total:
            return j
    return best


@device
def threshold(scores: Real1, most: int) -> Any:
    """The `most`-th largest score, or what is less and above the next; the least where there are not so many."""
    low, high = np.float64(scores[0]), np.float64(scores[0])
    for j in range(scores.size):
        low, high = min(low, np.float64(scores[j])), max(high, np.float64(scores[j]))
    if most <= 0 or most >= scores.size:
        return low
    for _ in range(HALVINGS):
        middle = 0.5 * low + 0.5 * high
        above = 0
        for j in range(scores.size):
            above += 1 if np.float64(scores[j]) >= middle else 0
        if above >= most:
            low = middle
        else:
            high = middle
    return low


def cannot_draw() -> NonFiniteError:
    return NonFiniteError("generate: the model's outputs are NaN or infinite: reset the stream, or check its weights")


def draw(logits: Array, step: int, seed: int, temperature: float, most: int) -> Array:
    """What `sample` draws from logits (n, tokens) in a step, in NumPy: (n,)."""
    if not temperature > 0:
        return np.asarray(logits.argmax(axis=1))
    scores = logits.astype(np.float64)
    if 0 < most < scores.shape[1]:
        least = np.partition(scores, -most, axis=1)[:, -most, None]
        scores = np.where(scores >= least, scores, -np.inf)
    distances = (scores - scores.max(axis=1, keepdims=True)) / temperature
    passed = np.exp(distances.astype(logits.dtype)).cumsum(axis=1, dtype=np.float64)
    sequence = np.arange(len(logits))
    words = philox((sequence // 4, SAMPLE, step & LOW, step >> 32), (seed & LOW, seed >> 32))
    uniform = (words[sequence, sequence % 4] + 0.5) / 2.0**32
    found: Array = (passed <= (uniform * passed[:, -1])[:, None]).sum(axis=1)
    return found
