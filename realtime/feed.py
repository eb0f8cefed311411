"""One stream as a process follows it: what came too early, who listens, what was sent last.

What a client has not been sent yet is not kept for it: it is a place in what the feed keeps for all.
"""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter

from hyperwatch import metrics
from realtime.followers import Client, Follower, Form
from realtime.frames import Event, gap_frame
from realtime.heads import Place
from realtime.lanes import Lanes
from realtime.streams import Stream
from realtime.subscriptions import Filter

# Events, ascending, and the place to which they take whoever gets them.
Due = tuple[Sequence[Event], int]

# So many numbers at most are written to one who catches up before it is asked again whether there is room.
PAGE = 512

# A ring holds so much beyond its bytes, of what is gone from it and not yet freed.
SPARE = 1 / 8


class Ring:
    """The newest events that were sent, bounded in bytes; the last one stays however large it is."""

    def __init__(self, head: int, most_bytes: int) -> None:
        # Whoever has everything up to here can have the rest from here.
        self.oldest = head
        self.bytes = 0
        self.most_bytes = most_bytes
        self._events: list[Event] = []
        self._first = 0

    def __len__(self) -> int:
        return len(self._events) - self._first

    def extend(self, events: Sequence[Event]) -> None:
        self._events += events
        self.bytes += sum([len(event.frame) for event in events])
        while self.bytes > self.most_bytes and len(self) > 1:
            gone = self._events[self._first]
            self._first += 1
            self.bytes -= len(gone.frame)
            self.oldest = gone.seq
        if self._first > len(self) * SPARE:
            # Now and then, so that it costs next to nothing for each event.
            del self._events[: self._first]
            self._first = 0

    def between(self, seq: int, upto: int) -> list[Event]:
        """What is behind `seq`, which must not be before `oldest`, up to `upto`."""
        first = bisect_right(self._events, seq, lo=self._first, key=attrgetter("seq"))
        last = bisect_right(self._events, upto, lo=first, key=attrgetter("seq"))
        return self._events[first:last]

    def newest_first(self) -> Iterator[Event]:
        return islice(reversed(self._events), len(self))


class Early:
    """Events that came before their turn, bounded in bytes: what finds no room is read from the database."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._events: dict[int, Event] = {}

    def __bool__(self) -> bool:
        return bool(self._events)

    def put(self, event: Event) -> None:
        if event.seq not in self._events and self._bytes < self._most_bytes:
            self._events[event.seq] = event
            self._bytes += len(event.frame)

    def take(self, seq: int) -> Event | None:
        event = self._events.pop(seq, None)
        if event is not None:
            self._bytes -= len(event.frame)
        return event

    def drop_upto(self, seq: int) -> None:
        for early in [early for early in self._events if early <= seq]:
            self.take(early)


class Feed(ABC):
    """Puts the events of one stream into their order and hands each on once.

    It never waits: what is heard and what is read cannot overtake each other on the way to a client.
    """

    def __init__(self, stream: Stream, place: Place, ring_bytes: int) -> None:
        self.stream = stream
        self.head, self.floor = place
        self.ring = Ring(place.head, ring_bytes)
        self._lanes = Lanes(stream)
        self._early = Early(ring_bytes)

    @property
    def has_hole(self) -> bool:
        return bool(self._early)

    @property
    def followers(self) -> int:
        return sum(map(len, self._lanes))

    def offer(self, events: Iterable[Event]) -> int:
        """Takes events in any order, also again, and sends those whose turn it is; returns how many."""
        before = self.head
        due = self._due(events)
        if due:
            for lane, wanted in self._lanes.divide(due):
                lane.send(wanted, before)
            metrics.HUB_HISTORY_BYTES.labels(self.stream.name).set(self.ring.bytes)
        return len(due)

    def fallen_behind(self) -> list[Follower]:
        """Those who cannot go on from what is kept."""
        return [follower for lane in self._lanes for follower in lane.fallen_behind(self.ring.oldest)]

    def raise_floor(self, floor: int) -> None:
        """What retention removed before it came here cannot come any more: the followers are told of the gap."""
        self.floor = floor
        if self.head >= floor:
            return
        before, self.head = self.head, floor
        gap = gap_frame(self.stream.name, before + 1, floor)
        self._early.drop_upto(floor)
        self.ring = Ring(floor, self.ring.most_bytes)
        for lane in self._lanes:
            lane.write(lane.chunk_of([gap]), before)
        self.offer(())

    def join(self, client: Client, wanted: Filter, form: Form) -> Follower:
        """A place at the head, in the lane of all who want the same in the same form."""
        return self._lanes.lane(wanted, form).join(client, self.head)

    def leave(self, follower: Follower) -> None:
        follower.lane.leave(follower)
        self._lanes.drop_if_empty(follower.lane)

    def after(self, seq: int) -> Due | None:
        """What is due to one who is at `seq`; None where it is not kept."""
        if seq < self.ring.oldest:
            return None
        # Pages end at the same places for all: who is behind shares the work with others who are.
        upto = min((seq // PAGE + 1) * PAGE, self.head)
        return self.ring.between(seq, upto), upto

    def resume(self, seq: int) -> Due | None:
        """What is due to one who comes back and had everything up to `seq`; None where it is not kept."""
        return self.after(seq)

    @abstractmethod
    def newest(self, wanted: Filter, most: int) -> Sequence[Event] | None:
        """What a snapshot shows, ascending: `most` events or each coin's newest; None where it is not all kept."""

    @abstractmethod
    def _counts(self, event: Event) -> bool:
        """Whether an event whose turn it is is to be sent at all."""

    def _due(self, events: Iterable[Event]) -> list[Event]:
        """Those whose turn it is and that are to be sent; the others wait for what is missing before them."""
        due = list(self._follow())
        for event in events:
            if event.seq == self.head + 1:
                self.head += 1
                due.append(event)
                if self._early:
                    due += self._follow()
            elif event.seq > self.head:
                self._early.put(event)
        due = [event for event in due if self._counts(event)]
        self.ring.extend(due)
        return due

    def _follow(self) -> Iterator[Event]:
        """Those that came early and whose turn it is now."""
        while event := self._early.take(self.head + 1):
            self.head += 1
            yield event


class EventFeed(Feed):
    """Everything counts: whoever falls off the ring has to come back for it."""

    def newest(self, wanted: Filter, most: int) -> Sequence[Event] | None:
        newest = self.ring.newest_first()
        matching = (event for event in newest if event.seq > self.floor and wanted.wants(event.fact))
        found = list(islice(matching, most))
        is_all_kept = self.ring.oldest <= self.floor
        return found[::-1] if is_all_kept or len(found) == most else None

    def _counts(self, event: Event) -> bool:
        return True


class StateFeed(Feed):
    """Only the newest of each coin counts: whoever falls off the ring skips the rest."""

    def __init__(self, stream: Stream, place: Place, ring_bytes: int, newest: Iterable[Event]) -> None:
        super().__init__(stream, place, ring_bytes)
        self._newest = {event.fact.coin: event for event in newest}
        # Until `restore` has put in what is left.
        self.has_lost_newest = False

    def after(self, seq: int) -> Due:
        kept = super().after(seq)
        if kept is None:
            metrics.HUB_CONFLATIONS_TOTAL.labels(self.stream.name).inc()
        return kept or self.resume(seq)

    def resume(self, seq: int) -> Due:
        newer = [event for event in self._newest.values() if event.seq > seq]
        return sorted(newer, key=attrgetter("seq")), self.head

    def newest(self, wanted: Filter, most: int) -> Sequence[Event]:
        matching = [event for event in self._newest.values() if wanted.wants(event.fact)]
        return sorted(matching, key=attrgetter("seq"))

    def raise_floor(self, floor: int) -> None:
        """What retention removed is nobody's newest any more; an older one may be left that was stored later."""
        left = {coin: event for coin, event in self._newest.items() if event.seq > floor}
        self.has_lost_newest |= len(left) < len(self._newest)
        self._newest = left
        super().raise_floor(floor)

    def restore(self, newest: Iterable[Event]) -> None:
        """Takes the newest that the database knows of each coin, where what was kept here is gone."""
        for event in newest:
            # What is beyond the head comes by itself.
            if event.seq <= self.head:
                self._newest.setdefault(event.fact.coin, event)
        self.has_lost_newest = False

    def _counts(self, event: Event) -> bool:
        """A fact that is older than its coin's newest comes too late: it is stored and not sent."""
        known = self._newest.get(event.fact.coin)
        if known is not None and event.fact.time <= known.fact.time:
            return False
        self._newest[event.fact.coin] = event
        return True
