"""An LRU cache bounded in bytes, keys included."""

from operator import itemgetter
from typing import Generic, TypeVar

from cachetools import LRUCache

K = TypeVar("K")
V = TypeVar("V")

# Objects of an entry besides its texts: key, value, links and their headers. Measured: 0.7 to 1.2 KB.
ENTRY_BYTES = 1_024


class ByteCache(Generic[K, V]):
    """Evicts the least recently used entries. An entry counts with the size of its texts and ENTRY_BYTES."""

    def __init__(self, max_bytes: int) -> None:
        self._entries: LRUCache[K, tuple[V, int]] = LRUCache(max_bytes, itemgetter(1))

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        entry = self._entries.get(key)
        return entry[0] if entry else None

    def put(self, key: K, value: V, text_bytes: int) -> None:
        """Stores nothing that is larger than the whole cache."""
        size = text_bytes + ENTRY_BYTES
        if size <= self._entries.maxsize:
            self._entries[key] = (value, size)

    def clear(self) -> None:
        self._entries.clear()
