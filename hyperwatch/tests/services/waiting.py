"""Waits for a condition with a deadline; the failure names the condition."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], description: str, seconds: float = 10.0, pause: float = 0.02) -> T:
    """The first true result of `condition`; fails with `description` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain for {description}")
        time.sleep(pause)
    return answer
