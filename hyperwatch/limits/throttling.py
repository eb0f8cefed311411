"""Rate limits: a number of requests in a fixed window, with X-RateLimit headers in every response.

Windows are aligned to the clock, so one counter for each client is enough; a sliding log would store thousands of
times. While the cache is unavailable, requests pass uncounted and a metric counts them.
"""

import re
import time
from collections.abc import Mapping
from functools import cache as memoize
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

PERIOD_SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
RATE = re.compile(r"([1-9][0-9]{0,8})/(second|minute|hour|day)", re.ASCII)
CACHE_UNAVAILABLE = (redis.RedisError, OSError)
CACHE_RETRY_SECONDS = 1.0
# Key in an ASGI scope: the request's count, set by CacheMiddleware, so that the throttle does not count it again.
REQUEST_COUNTS_KEY = "hyperwatch.counted"


class Rate(NamedTuple):
    limit: int
    seconds: int


@memoize
def read_rate(text: str) -> Rate:
    """`6000/minute`; raises ValueError."""
    match = RATE.fullmatch(text)
    if match is None:
        raise ValueError("a rate must be a number of requests per second, minute, hour or day, such as 6000/minute")
    return Rate(int(match[1]), PERIOD_SECONDS[match[2]])


class Allowance(NamedTuple):
    """A client's remaining requests in a window that ends in `reset` seconds."""

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
    """Counts requests in the cache; while it is unavailable, all requests pass."""

    def __init__(self) -> None:
        # Without the breaker each request would wait for the connection timeout of an unavailable cache.
        self.breaker = CircuitBreaker(CACHE_RETRY_SECONDS)

    def count(self, increments: Mapping[str, int], seconds: int) -> dict[str, int]:
        """Adds to each counter and returns the totals; 0 for each if the cache is unavailable."""
        if not self.breaker.is_open:
            try:
                totals: dict[str, int] = cast(Any, cache).count(increments, seconds)
                return totals
            except CACHE_UNAVAILABLE:
                self.breaker.open()
        THROTTLE_BYPASSED_REQUESTS_TOTAL.inc(sum(increments.values()))
        return dict.fromkeys(increments, 0)


rate_counter = RateCounter()


class RateWindow(NamedTuple):
    """The current window of a rate. Its number is part of the counter names, so each window starts at 0."""

    rate: Rate
    number: int
    seconds_left: int

    @classmethod
    def now(cls, rate: Rate) -> Self:
        number, elapsed = divmod(time.time(), rate.seconds)
        return cls(rate, int(number), max(int(rate.seconds - elapsed), 1))

    @property
    def ttl_seconds(self) -> int:
        """Lifetime of the window's counters."""
        return self.rate.seconds + 1

    def counter(self, scope: str, client: str) -> str:
        return f"throttle:{scope}:{client}:{self.number}"

    def allowance(self, used: int) -> Allowance:
        return Allowance(self.rate.limit, self.rate.limit - used, self.seconds_left)


class WindowThrottle(BaseThrottle):
    """Counts in the cache and sets `request.allowance`, from which the view makes the headers."""

    scope: ClassVar[str]
    setting: ClassVar[str]

    def applies_to(self, request: Request) -> bool:
        raise NotImplementedError

    def allow_request(self, request: Request, view: Any) -> bool:
        if not self.applies_to(request):
            return True
        window = RateWindow.now(read_rate(getattr(settings, self.setting)))
        counter = window.counter(self.scope, client_id(request))
        counts: Mapping[str, int] = getattr(request, "scope", {}).get(REQUEST_COUNTS_KEY, {})
        if counter not in counts:
            counts = rate_counter.count({counter: 1}, window.ttl_seconds)
        used = counts[counter]
        self.reset = window.seconds_left
        cast(Any, request).allowance = window.allowance(used)
        return used <= window.rate.limit

    def wait(self) -> float:
        return self.reset


def client_id(request: Request) -> str:
    """The key, the admin user or the address of the client. Call after authentication."""
    if isinstance(request.auth, APIKey):
        return f"key:{request.auth.prefix}"
    if request.user and request.user.is_authenticated:
        return f"user:{request.user.pk}"
    return anonymous_id(request.META.get("HTTP_X_FORWARDED_FOR", ""), str(request.META.get("REMOTE_ADDR", "")))


def anonymous_id(forwarded_for: str, peer: str) -> str:
    """The id of a client without key or session."""
    return f"address:{forwarded_address(forwarded_for, peer)}"


class ReadThrottle(WindowThrottle):
    scope = "reads"
    setting = "THROTTLE_READS"

    def applies_to(self, request: Request) -> bool:
        return request.method in SAFE_METHODS


class WriteThrottle(WindowThrottle):
    scope = "writes"
    setting = "THROTTLE_WRITES"

    def applies_to(self, request: Request) -> bool:
        return request.method not in SAFE_METHODS
