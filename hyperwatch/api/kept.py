"""Answers that are kept in the process until what they are made from has moved on."""

import threading
from typing import NamedTuple, Protocol, Self

from cachetools import LRUCache
from django.conf import settings

from hyperwatch.api.envelope import Draft


class Version(Protocol):
    """What an answer is made from, at one moment."""

    def reaches(self, other: Self, /) -> bool:
        """Whether it is the other, or has moved on from there."""


class Question(NamedTuple):
    """What was asked, and of which stream."""

    stream: str
    text: str


class Kept(NamedTuple):
    """`tag` is the answer's ETag."""

    version: Version
    tag: str
    draft: Draft


class KeptAnswers:
    """The newest of each question, bounded in bytes; those that were asked for least lately go first."""

    def __init__(self, most_bytes: int) -> None:
        self._kept: LRUCache[Question, Kept] = LRUCache(most_bytes, lambda kept: kept.draft.size)
        self._lock = threading.Lock()

    def find(self, question: Question, version: Version) -> Kept | None:
        """One that is no older than `version`."""
        with self._lock:
            kept = self._kept.get(question)
        return kept if kept is not None and kept.version.reaches(version) else None

    def keep(self, question: Question, kept: Kept) -> None:
        with self._lock:
            if kept.draft.size <= self._kept.maxsize:
                self._kept[question] = kept

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()


kept_answers = KeptAnswers(settings.RESPONSE_CACHE_MAX_BYTES)
