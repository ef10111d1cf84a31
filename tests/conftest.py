"""Settings of every test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples on every machine and no deadline: a first call may compile.
settings.register_profile(
    "chainrule", derandomize=True, deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", parent=settings.get_profile("chainrule"), derandomize=False, max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "chainrule"))


@pytest.fixture(scope="session", autouse=True)
def interrupts() -> Iterator[None]:
    """Ctrl-C as Python sets it up, for the tests and the processes they start: a job in the background, or one under
    nohup, begins with SIGINT ignored, and hands that on."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of data sets too large to bundle; the test is skipped without it."""
    folder = os.environ.get("CHAINRULE_DATA")
    if not folder:
        pytest.skip("needs the data sets that CHAINRULE_DATA names")
    return Path(folder)
