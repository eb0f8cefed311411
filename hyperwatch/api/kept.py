"""Answers that are kept in the process until what they are made from has moved on."""

import threading
from collections.abc import Hashable

from cachetools import LRUCache
from django.conf import settings
from prometheus_client import Counter

from hyperwatch.api.envelope import Draft

ANSWERS = Counter("hyperwatch_answers", "Answers that may be kept, by where they came from", ["source"])


class KeptAnswers:
    """The newest of each question, bounded in bytes; those that were asked for least lately go first."""

    def __init__(self, most_bytes: int) -> None:
        self._drafts: LRUCache[Hashable, tuple[Hashable, Draft]] = LRUCache(most_bytes, lambda kept: kept[1].size)
        self._lock = threading.Lock()

    def find(self, question: Hashable, version: Hashable) -> Draft | None:
        with self._lock:
            kept = self._drafts.get(question)
        found = kept[1] if kept is not None and kept[0] == version else None
        ANSWERS.labels("kept" if found else "made").inc()
        return found

    def keep(self, question: Hashable, version: Hashable, draft: Draft) -> None:
        with self._lock:
            if draft.size <= self._drafts.maxsize:
                self._drafts[question] = (version, draft)


kept_answers = KeptAnswers(settings.ANSWERS_KEPT_BYTES)
