"""The workloads of sequences: what is counted, and that chainrule's step learns from what all libraries get."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.sequence_peers import POOL, WORKLOADS, ours


@pytest.mark.parametrize("name", WORKLOADS)
def test_weights_and_batches_fit(name: str) -> None:
    workload = replace(WORKLOADS[name], batch=2, steps=3)
    x, y = workload.batches()
    assert x.shape[:3] == (POOL, 2, 3)
    assert len(y) == POOL
    step = ours(workload, 1, predicts=False)
    assert np.isfinite(step.check(0))
    assert np.isfinite(ours(workload, 1, predicts=True)(0))


def test_products_are_counted() -> None:
    workload = replace(WORKLOADS["lstm32"], batch=2, steps=3, inputs=5, hidden=7, outputs=1)
    assert workload.flops == 4 * 6 * 5 * 28 + 6 * 6 * 7 * 28 + 6 * 2 * 7
