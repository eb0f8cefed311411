"""Answers that are kept in the process until what they are made from has moved on."""

import threading
from typing import NamedTuple, Protocol, Self

from cachetools import LRUCache
from django.conf import settings

from hyperwatch.api.envelope import ResponseTemplate


class Version(Protocol):
    """What an answer is made from, at one moment."""

    def is_at_least(self, other: Self, /) -> bool:
        """Whether it is the other, or has moved on from there."""


class CacheKey(NamedTuple):
    """What was asked, and of which stream."""

    stream: str
    query: str


class CachedResponse(NamedTuple):
    """`tag` is the answer's ETag."""

    version: Version
    tag: str
    template: ResponseTemplate


class ResponseCache:
    """The newest of each question, bounded in bytes; those that were asked for least lately go first."""

    def __init__(self, most_bytes: int) -> None:
        self._responses: LRUCache[CacheKey, CachedResponse] = LRUCache(most_bytes, lambda kept: kept.template.size)
        self._lock = threading.Lock()

    def find(self, question: CacheKey, version: Version) -> CachedResponse | None:
        """One that is no older than `version`."""
        with self._lock:
            kept = self._responses.get(question)
        return kept if kept is not None and kept.version.is_at_least(version) else None

    def store(self, question: CacheKey, kept: CachedResponse) -> None:
        with self._lock:
            if kept.template.size <= self._responses.maxsize:
                self._responses[question] = kept

    def clear(self) -> None:
        with self._lock:
            self._responses.clear()


response_cache = ResponseCache(settings.RESPONSE_CACHE_MAX_BYTES)
