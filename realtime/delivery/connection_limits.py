"""Limits of WebSocket clients: messages in a window, connections from one address."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from hyperwatch.limits.client_address import forwarded_address
from hyperwatch.limits.throttling import Rate


class FixedWindow:
    """Counts hits in a window, which begins with its first hit."""

    __slots__ = ("_clock", "_ends_at", "_hits", "_rate")

    def __init__(self, rate: Rate, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._clock = clock
        self._ends_at = 0.0
        self._hits = 0

    def hit(self) -> float:
        """Counts one hit; returns 0 within the limit, else the seconds until the window ends."""
        now = self._clock()
        if now >= self._ends_at:
            self._ends_at, self._hits = now + self._rate.seconds, 0
        self._hits += 1
        return self._ends_at - now if self._hits > self._rate.limit else 0.0


class ConnectionLimiter:
    """Counts the WebSockets of this process, in all and by address."""

    def __init__(self) -> None:
        self._by_address: Counter[str] = Counter()
        self._total = 0

    @contextmanager
    def acquire(self, address: str) -> Iterator[bool]:
        """Counts one connection for the duration of the context; the value is True above a limit."""
        self._total += 1
        self._by_address[address] += 1
        limit = settings.WEBSOCKET_MAX_CONNECTIONS_PER_IP or settings.WEBSOCKET_MAX_CONNECTIONS
        try:
            yield self._by_address[address] > limit or self._total > settings.WEBSOCKET_MAX_CONNECTIONS
        finally:
            self._total -= 1
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]


connection_limiter = ConnectionLimiter()


def client_address(scope: dict[str, Any]) -> str:
    """The client's address for the limits; behind a trusted proxy, the forwarded address."""
    forwarded = header(scope["headers"], b"x-forwarded-for")
    return forwarded_address(forwarded, (scope.get("client") or [""])[0])


def header(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str:
    """All values of a header, joined by commas; "" without the header."""
    return ", ".join(value.decode("latin-1") for key, value in headers if key == name)
