"""Waiting without guessing: a condition, a deadline, and what was waited for in the failure."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, seconds: float = 10.0, pause: float = 0.02) -> T:
    """The first true answer of `condition`; fails with `what` once `seconds` have passed without one."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain for {what}")
        time.sleep(pause)
    return answer
