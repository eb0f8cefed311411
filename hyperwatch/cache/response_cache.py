"""In-process cache of API responses, valid until the version of their stream changes."""

import threading
from typing import NamedTuple, Protocol, Self

from django.conf import settings

from hyperwatch.api.envelope import ResponseTemplate
from hyperwatch.cache.byte_cache import ByteCache


class Version(Protocol):
    """The version of the data in a response."""

    def is_at_least(self, other: Self, /) -> bool:
        """Whether this version equals the other or is newer."""


class CacheKey(NamedTuple):
    """The full path of a request, and the stream that its response is made from."""

    stream: str
    query: str


class CachedResponse(NamedTuple):
    """`tag` is the response's ETag."""

    version: Version
    tag: str
    template: ResponseTemplate


class ResponseCache:
    """The newest response of each key, bounded in bytes. Evicts the least recently used. Thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        self._responses: ByteCache[CacheKey, CachedResponse] = ByteCache(max_bytes)
        self._lock = threading.Lock()

    def find(self, key: CacheKey, version: Version) -> CachedResponse | None:
        """Returns the response if it is no older than `version`."""
        with self._lock:
            cached = self._responses.get(key)
        return cached if cached is not None and cached.version.is_at_least(version) else None

    def store(self, key: CacheKey, response: CachedResponse) -> None:
        with self._lock:
            self._responses.put(key, response, len(key.query) + response.template.size)

    def clear(self) -> None:
        with self._lock:
            self._responses.clear()


response_cache = ResponseCache(settings.RESPONSE_CACHE_MAX_BYTES)
