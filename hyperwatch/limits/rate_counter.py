"""Cache backends that increment many counters in one command. Django's own need three commands for each counter."""

import threading
from collections.abc import Mapping
from typing import Any

import redis
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache

# One EVAL for all counters: building a pipeline takes as long as its round trip.
INCREMENT_SCRIPT = """local totals = {}
for i, key in ipairs(KEYS) do
    totals[i] = redis.call('INCRBY', key, ARGV[i + 1])
    redis.call('EXPIRE', key, ARGV[1])
end
return totals"""


class RedisRateCache(RedisCache):
    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._local = threading.local()

    @property
    def _counter(self) -> redis.Redis:
        """This thread's client. It owns one connection, because each checkout from the pool polls the socket."""
        if not hasattr(self._local, "counter"):
            pool = self._cache.get_client(None, write=True).connection_pool
            self._local.counter = redis.Redis(connection_pool=pool, single_connection_client=True)
        counter: redis.Redis = self._local.counter
        return counter

    def count(self, increments: Mapping[str, int], seconds: int) -> dict[str, int]:
        """Adds to each counter and returns the totals; a counter expires `seconds` after its last increment."""
        names = map(self.make_and_validate_key, increments)
        totals: Any = self._counter.eval(INCREMENT_SCRIPT, len(increments), *names, seconds, *increments.values())
        return dict(zip(increments, totals, strict=True))


class MemoryRateCache(LocMemCache):
    def count(self, increments: Mapping[str, int], seconds: int) -> dict[str, int]:
        return {key: self._count(key, amount, seconds) for key, amount in increments.items()}

    def _count(self, key: str, amount: int, seconds: int) -> int:
        if self.add(key, amount, timeout=seconds):
            return amount
        try:
            return self.incr(key, amount)
        except ValueError:
            # The counter expired between add() and incr().
            return amount
