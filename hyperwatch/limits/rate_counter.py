"""Caches that count: the requests of many clients by one question, where Django's own take three for each client."""

import threading
from collections.abc import Mapping
from typing import Any

import redis
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache

# One command for all of them: a pipeline would take as long to be put together as to be answered.
SCRIPT = """local stand = {}
for i, key in ipairs(KEYS) do
    stand[i] = redis.call('INCRBY', key, ARGV[i + 1])
    redis.call('EXPIRE', key, ARGV[1])
end
return stand"""


class RedisRateCache(RedisCache):
    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._of_thread = threading.local()

    @property
    def _counter(self) -> redis.Redis:
        """Of this thread: a connection that is taken out of the pool is looked over each time."""
        if not hasattr(self._of_thread, "counter"):
            pool = self._cache.get_client(None, write=True).connection_pool
            self._of_thread.counter = redis.Redis(connection_pool=pool, single_connection_client=True)
        counter: redis.Redis = self._of_thread.counter
        return counter

    def count(self, more: Mapping[str, int], seconds: int) -> dict[str, int]:
        """What each counter stands at with so many more; one that nobody adds to for so long is gone."""
        names = map(self.make_and_validate_key, more)
        stand: Any = self._counter.eval(SCRIPT, len(more), *names, seconds, *more.values())
        return dict(zip(more, stand, strict=True))


class MemoryRateCache(LocMemCache):
    def count(self, more: Mapping[str, int], seconds: int) -> dict[str, int]:
        return {key: self._count(key, amount, seconds) for key, amount in more.items()}

    def _count(self, key: str, amount: int, seconds: int) -> int:
        if self.add(key, amount, timeout=seconds):
            return amount
        try:
            return self.incr(key, amount)
        except ValueError:
            # It ran out between the two.
            return amount
