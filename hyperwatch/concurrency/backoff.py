"""Pauses between attempts, and a circuit breaker, for services that are unavailable for a while.

`realtime/client.py` has its own backoff: users copy that file out of the project, so it imports nothing of it.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Self


class Backoff:
    """Seconds to wait after each failed attempt: `pauses` in order, then the last one repeatedly.

    It does not sleep: a thread waits on its stop event, a coroutine on its event loop.
    """

    def __init__(self, pauses: Sequence[float]) -> None:
        if not pauses:
            raise ValueError("a backoff needs at least one pause")
        self._pauses = pauses
        self.failures = 0

    @classmethod
    def doubling(cls, first: float, longest: float) -> Self:
        """Each pause is twice the one before, up to `longest`."""
        pauses = [first]
        while pauses[-1] < longest:
            pauses.append(min(2 * pauses[-1], longest))
        return cls(pauses)

    def next(self) -> float:
        """Counts a failed attempt and returns the pause after it."""
        pause = self._pauses[min(self.failures, len(self._pauses) - 1)]
        self.failures += 1
        return pause


class CircuitBreaker:
    """Skips calls to a service for `open_seconds` after a failed one, since each would wait for its timeout.

    After that time it is closed again, and the next call shows whether the service is available. Thread-safe: its
    state is one float.
    """

    def __init__(self, open_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._open_seconds = open_seconds
        self._clock = clock
        self._open_until = -math.inf

    @property
    def is_open(self) -> bool:
        return self._clock() < self._open_until

    def open(self) -> None:
        """Call after a failed call."""
        self._open_until = self._clock() + self._open_seconds

    def close(self) -> None:
        """Lets the next call through at once."""
        self._open_until = -math.inf
