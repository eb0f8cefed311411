"""Buffers of one stream's events, bounded in bytes: sent events, and events that arrived out of order."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import attrgetter

from realtime.protocol.frames import Event

# Share of dropped entries in a history's list, above which the list is compacted.
MAX_DROPPED_SHARE = 1 / 8


class FrameHistory:
    """The latest events that were sent, bounded in bytes; it always holds the last one, whatever its size."""

    def __init__(self, head: int, max_bytes: int) -> None:
        # The history can serve subscribers that have everything up to this seq.
        self.oldest = head
        self.bytes = 0
        self.max_bytes = max_bytes
        self._events: list[Event] = []
        self._first = 0

    def __len__(self) -> int:
        return len(self._events) - self._first

    def extend(self, events: Sequence[Event]) -> None:
        self._events += events
        self.bytes += sum([len(event.frame) for event in events])
        while self.bytes > self.max_bytes and len(self) > 1:
            dropped = self._events[self._first]
            self._first += 1
            self.bytes -= len(dropped.frame)
            self.oldest = dropped.seq
        if self._first > len(self) * MAX_DROPPED_SHARE:
            # Amortised: compaction moves the list once for many dropped events.
            del self._events[: self._first]
            self._first = 0

    def between(self, seq: int, upto: int) -> list[Event]:
        """The events after `seq`, which must not be before `oldest`, up to `upto`."""
        first = bisect_right(self._events, seq, lo=self._first, key=attrgetter("seq"))
        last = bisect_right(self._events, upto, lo=first, key=attrgetter("seq"))
        return self._events[first:last]

    def latest_first(self) -> Iterator[Event]:
        return islice(reversed(self._events), len(self))


class ReorderBuffer:
    """Events that arrived before a missing one, bounded in bytes; events that do not fit are backfilled later."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._events: dict[int, Event] = {}

    def __bool__(self) -> bool:
        return bool(self._events)

    def put(self, event: Event) -> None:
        if event.seq not in self._events and self._bytes < self._max_bytes:
            self._events[event.seq] = event
            self._bytes += len(event.frame)

    def pop(self, seq: int) -> Event | None:
        event = self._events.pop(seq, None)
        if event is not None:
            self._bytes -= len(event.frame)
        return event

    def drop_upto(self, seq: int) -> None:
        for buffered in [buffered for buffered in self._events if buffered <= seq]:
            self.pop(buffered)
