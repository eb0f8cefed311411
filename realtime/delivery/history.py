"""Bounded stores of one stream's events: those that were sent, and those that arrived before their turn."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import attrgetter

from realtime.protocol.frames import Event

# Share of a history's length that may be entries already dropped and not yet freed.
MAX_DROPPED_SHARE = 1 / 8


class FrameHistory:
    """The latest events that were sent, bounded in bytes; the last one stays, however large it is."""

    def __init__(self, head: int, max_bytes: int) -> None:
        # A subscriber that has everything up to this seq can be served from here.
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
            # Rarely, so that moving the rest of the list costs next to nothing for each event.
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
    """Events that arrived before their turn, bounded in bytes; an event that does not fit is backfilled later."""

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
        for early in [early for early in self._events if early <= seq]:
            self.pop(early)
