"""How often a client may come: so many requests in a window, told in every answer's headers.

A window begins with the clock's, not with the client's first request: one counter a client in the cache, where a
log of each request's time would be thousands. Where the cache is away, requests pass, and a metric says so.
"""

import re
import time
from collections.abc import Mapping
from functools import cache as remembered
from typing import Any, ClassVar, NamedTuple, Self, cast

import redis
from django.conf import settings
from django.core.cache import cache
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework_api_key.models import APIKey

from hyperwatch.concurrency.backoff import CircuitBreaker
from hyperwatch.limits.client_address import forwarded_address
from hyperwatch.metrics import THROTTLE_BYPASSED_REQUESTS_TOTAL

SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
RATE = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day)", re.ASCII)
CACHE_AWAY = (redis.RedisError, OSError)
CACHE_SKIP_SECONDS = 1.0
# In an ASGI request's scope: where its counter stood when it was counted, if that was before any view saw it.
COUNTED = "hyperwatch.counted"


class Rate(NamedTuple):
    limit: int
    seconds: int


@remembered
def read_rate(text: str) -> Rate:
    """`6000/minute`; raises ValueError."""
    match = RATE.fullmatch(text)
    if match is None:
        raise ValueError("a rate is a number of requests / second, minute, hour or day")
    return Rate(int(match[1]), SECONDS[match[2]])


class Allowance(NamedTuple):
    """What a client has left in a window that ends in `reset` seconds."""

    limit: int
    remaining: int
    reset: int

    def headers(self) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(self.remaining, 0)),
            "X-RateLimit-Reset": str(self.reset),
        }


class RateCounter:
    """Counts requests in the cache, and lets pass while that is away."""

    def __init__(self) -> None:
        # Without it each request would wait for the connection to an unavailable cache to fail.
        self.breaker = CircuitBreaker(CACHE_SKIP_SECONDS)

    def count(self, more: Mapping[str, int], seconds: int) -> dict[str, int]:
        """The requests of each key with so many more; 0 where the cache is away."""
        if not self.breaker.is_open:
            try:
                stand: dict[str, int] = cast(Any, cache).count(more, seconds)
                return stand
            except CACHE_AWAY:
                self.breaker.open()
        THROTTLE_BYPASSED_REQUESTS_TOTAL.inc(sum(more.values()))
        return dict.fromkeys(more, 0)


rate_counter = RateCounter()


class RateWindow(NamedTuple):
    """The requests of this moment's window are counted under names that no other window's are."""

    rate: Rate
    number: int
    # Seconds until it ends.
    reset: int

    @classmethod
    def now(cls, rate: Rate) -> Self:
        number, passed = divmod(time.time(), rate.seconds)
        return cls(rate, int(number), max(int(rate.seconds - passed), 1))

    @property
    def seconds(self) -> int:
        """As long as its counters are needed."""
        return self.rate.seconds + 1

    def counter(self, scope: str, client: str) -> str:
        return f"throttle:{scope}:{client}:{self.number}"

    def allowance(self, used: int) -> Allowance:
        return Allowance(self.rate.limit, self.rate.limit - used, self.reset)


class WindowThrottle(BaseThrottle):
    """Counts in the cache. The view finds the client's allowance on the request, for the headers."""

    scope: ClassVar[str]
    setting: ClassVar[str]

    def counts(self, request: Request) -> bool:
        raise NotImplementedError

    def allow_request(self, request: Request, view: Any) -> bool:
        if not self.counts(request):
            return True
        window = RateWindow.now(read_rate(getattr(settings, self.setting)))
        counter = window.counter(self.scope, client(request))
        counted: Mapping[str, int] = getattr(request, "scope", {}).get(COUNTED, {})
        if counter not in counted:
            counted = rate_counter.count({counter: 1}, window.seconds)
        used = counted[counter]
        self.reset = window.reset
        cast(Any, request).allowance = window.allowance(used)
        return used <= window.rate.limit

    def wait(self) -> float:
        return self.reset


def client(request: Request) -> str:
    """Whoever comes: the key, the admin, or the address. Call after authentication."""
    if isinstance(request.auth, APIKey):
        return f"key:{request.auth.prefix}"
    if request.user and request.user.is_authenticated:
        return f"user:{request.user.pk}"
    return anonymous_id(request.META.get("HTTP_X_FORWARDED_FOR", ""), str(request.META.get("REMOTE_ADDR", "")))


def anonymous_id(forwarded_for: str, peer: str) -> str:
    """A client that has neither key nor session."""
    return f"address:{forwarded_address(forwarded_for, peer)}"


class ReadThrottle(WindowThrottle):
    scope = "reads"
    setting = "THROTTLE_READS"

    def counts(self, request: Request) -> bool:
        return request.method in SAFE_METHODS


class WriteThrottle(WindowThrottle):
    scope = "writes"
    setting = "THROTTLE_WRITES"

    def counts(self, request: Request) -> bool:
        return request.method not in SAFE_METHODS
