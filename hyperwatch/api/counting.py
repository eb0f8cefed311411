"""Caches that count: the requests of many clients by one question, where Django's own take three for each client."""

from collections.abc import Mapping

import redis
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from django.utils.functional import cached_property


class CountingRedis(RedisCache):
    @cached_property
    def _counter(self) -> redis.Redis:
        # Django makes a client for each question.
        client: redis.Redis = self._cache.get_client(None, write=True)
        return client

    def count(self, more: Mapping[str, int], seconds: int) -> dict[str, int]:
        """What each counter stands at with so many more; one that nobody adds to for so long is gone."""
        with self._counter.pipeline(transaction=False) as questions:
            for key, amount in more.items():
                name = self.make_and_validate_key(key)
                questions.incrby(name, amount)
                questions.expire(name, seconds)
            return dict(zip(more, questions.execute()[::2], strict=True))


class CountingMemory(LocMemCache):
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
