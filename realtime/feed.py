"""One stream as a process follows it: what came too early, who listens, what was sent last.

What a client has not been sent yet is not kept for it: it is a place in what the feed keeps for all.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice
from operator import attrgetter

from realtime.followers import Chunk, Follower, Lane
from realtime.frames import Event, gap_frame
from realtime.heads import Place
from realtime.streams import Stream
from realtime.subscriptions import Filter

# So many events are written to one who catches up before it is asked again whether there is room.
PAGE = 500


class Feed(ABC):
    """Puts the events of one stream into their order and hands each on once."""

    def __init__(self, stream: Stream, place: Place) -> None:
        self.stream = stream
        self.head, self.floor = place
        self._lanes: dict[tuple[Filter, bool], Lane] = {}
        self._early: dict[int, Event] = {}
        # What was heard and what was read must not overtake each other on the way to a client.
        self._turn = asyncio.Lock()

    @property
    def has_hole(self) -> bool:
        return bool(self._early)

    @property
    def followers(self) -> int:
        return sum(len(lane) for lane in self._lanes.values())

    async def offer(self, events: Iterable[Event]) -> int:
        """Takes events in any order, also again, and sends those whose turn it is; returns how many."""
        async with self._turn:
            due = self._due(events)
            if due:
                for lane in list(self._lanes.values()):
                    await lane.send(due, self.head)
                    await lane.part_from_behind(self.oldest)
        return len(due)

    async def raise_floor(self, floor: int) -> None:
        """What retention removed before it came here cannot come any more: the followers are told of the gap."""
        self.floor = floor
        if self.head >= floor:
            return
        async with self._turn:
            gap = Chunk([gap_frame(self.stream.name, self.head + 1, floor)])
            self.head = floor
            for lane in list(self._lanes.values()):
                await lane.write(gap, floor)
        await self.offer(())

    def lane(self, wanted: Filter, is_batch: bool) -> Lane:
        """The lane of all who want the same in the same form."""
        return self._lanes.setdefault((wanted, is_batch), Lane(self.stream, wanted, is_batch))

    def leave(self, follower: Follower) -> None:
        lane = follower.lane
        lane.leave(follower)
        if not len(lane):
            self._lanes.pop((lane.wanted, lane.is_batch), None)

    @property
    @abstractmethod
    def oldest(self) -> int:
        """From here on one who falls behind can catch up without the database."""

    @abstractmethod
    def after(self, seq: int) -> tuple[Sequence[Event], int] | None:
        """What is due to one who is at `seq`, ascending, and where that takes him; None where it is not kept."""

    @abstractmethod
    def newest(self, wanted: Filter, most: int) -> Sequence[Event] | None:
        """What a snapshot shows, ascending: `most` events or each coin's newest; None where it is not all kept."""

    @abstractmethod
    def _keep(self, event: Event) -> bool:
        """Keeps an event whose turn it is; False where it is not to be sent at all."""

    def _due(self, events: Iterable[Event]) -> list[Event]:
        for event in events:
            self._early[event.seq] = event
        for seq in [seq for seq in self._early if seq <= self.head]:
            del self._early[seq]
        due = []
        while self.head + 1 in self._early:
            self.head += 1
            event = self._early.pop(self.head)
            if self._keep(event):
                due.append(event)
        return due


class EventFeed(Feed):
    """Keeps a ring of the newest events, bounded in bytes; the last one stays however large it is."""

    def __init__(self, stream: Stream, place: Place, ring_bytes: int) -> None:
        super().__init__(stream, place)
        self._most_bytes = ring_bytes
        self._ring: deque[Event] = deque()
        self.bytes = 0

    @property
    def oldest(self) -> int:
        return self.head - len(self._ring)

    def after(self, seq: int) -> tuple[Sequence[Event], int] | None:
        first = len(self._ring) - (self.head - seq)
        if first < 0:
            return None
        page = list(islice(self._ring, first, first + PAGE))
        return page, seq + len(page)

    def newest(self, wanted: Filter, most: int) -> Sequence[Event] | None:
        matching = (event for event in reversed(self._ring) if wanted.wants(event.fact))
        found = list(islice(matching, most))
        is_all_kept = self.oldest <= self.floor
        return found[::-1] if is_all_kept or len(found) == most else None

    def _keep(self, event: Event) -> bool:
        self._ring.append(event)
        self.bytes += len(event.frame)
        while self.bytes > self._most_bytes and len(self._ring) > 1:
            self.bytes -= len(self._ring.popleft().frame)
        return True


class StateFeed(Feed):
    """Keeps the newest of each coin, which is all that counts: whoever falls behind skips the rest."""

    def __init__(self, stream: Stream, place: Place, newest: Iterable[Event]) -> None:
        super().__init__(stream, place)
        self._newest = {event.fact.coin: event for event in newest}

    @property
    def oldest(self) -> int:
        return 0

    def after(self, seq: int) -> tuple[Sequence[Event], int]:
        newer = [event for event in self._newest.values() if event.seq > seq]
        return sorted(newer, key=attrgetter("seq")), self.head

    def newest(self, wanted: Filter, most: int) -> Sequence[Event]:
        matching = [event for event in self._newest.values() if wanted.wants(event.fact)]
        return sorted(matching, key=attrgetter("seq"))

    def _keep(self, event: Event) -> bool:
        """A fact that is older than its coin's newest comes too late: it is stored and not sent."""
        known = self._newest.get(event.fact.coin)
        if known is not None and event.fact.time <= known.fact.time:
            return False
        self._newest[event.fact.coin] = event
        return True
