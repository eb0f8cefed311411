"""What one client may have of the WebSocket: so many frames in a window, so many connections from one address."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from hyperwatch.api.addresses import forwarded_address
from hyperwatch.api.throttling import Rate


class Budget:
    """So many in each window, which begins with the first."""

    __slots__ = ("_rate", "_spent", "_until")

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._until = 0.0
        self._spent = 0

    def spend(self) -> float:
        """0 where there was one left, else the seconds until there is again."""
        now = time.monotonic()
        if now >= self._until:
            self._until, self._spent = now + self._rate.seconds, 0
        self._spent += 1
        return self._until - now if self._spent > self._rate.limit else 0.0


class Connections:
    """Those of this process, by address."""

    def __init__(self) -> None:
        self._by_address: Counter[str] = Counter()
        self._all = 0

    @contextmanager
    def one_from(self, address: str) -> Iterator[bool]:
        """Counts one more meanwhile, and says whether that is one too many."""
        self._all += 1
        self._by_address[address] += 1
        most = settings.WEBSOCKET_MAX_CONNECTIONS_PER_IP or settings.WEBSOCKET_MAX_CONNECTIONS
        try:
            yield self._by_address[address] > most or self._all > settings.WEBSOCKET_MAX_CONNECTIONS
        finally:
            self._all -= 1
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]


connections = Connections()


def address_of(scope: dict[str, Any]) -> str:
    """Where a connection comes from; behind proxies of ours what they say."""
    forwarded = header(scope["headers"], b"x-forwarded-for")
    return forwarded_address(forwarded, (scope.get("client") or [""])[0])


def header(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> str:
    """All that a header says, "" where it is not there."""
    return ", ".join(value.decode("latin-1") for key, value in headers if key == name)
