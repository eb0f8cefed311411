"""Subscribers with equal filters form a group: events are matched and encoded for them once.

A group is indexed by the most selective field that its filter names, so that groups with other values add no cost to
an event: 10,000 subscriptions to one wallet each are found by one lookup.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any, NamedTuple

from hyperwatch import metrics
from realtime.delivery.subscribers import Client, Subscriber, SubscriberState
from realtime.protocol.frames import Event, batch_frame, ws_frame, ws_frame_deflated
from realtime.protocol.subscriptions import Filter
from realtime.streams import Fact, Stream

# The fields of a filter that name values, the most selective first, and the value of a fact.
INDEXED_FIELDS: dict[str, Callable[[Fact], Any]] = {
    "addresses": attrgetter("address"),
    "whale_ids": attrgetter("whale_id"),
    "coins": lambda fact: fact.coin.lower(),
    "kinds": attrgetter("kind"),
    "sides": attrgetter("side"),
}


class Encoding(NamedTuple):
    """The form in which a client receives frames: joined into batches, compressed."""

    is_batch: bool = False
    is_compressed: bool = False


class FrameBatch:
    """Encoded frames that are sent together: the same bytes for every client with this encoding."""

    def __init__(self, frames: Sequence[bytes], *, is_compressed: bool = False) -> None:
        self.frames = frames
        self.wire = b"".join(map(ws_frame_deflated if is_compressed else ws_frame, frames))

    @cached_property
    def texts(self) -> list[str]:
        return [frame.decode() for frame in self.frames]


# First seq, last seq and number of the events of a page, and their batch.
CachedPage = tuple[tuple[int, int, int], FrameBatch | None]
NO_PAGE: CachedPage = ((0, 0, 0), None)


class FilterGroup:
    """The subscribers of a stream with the same filter and encoding."""

    def __init__(self, stream: Stream, criteria: Filter, encoding: Encoding) -> None:
        self.filter = criteria
        self.encoding = encoding
        self._matches_all = criteria == Filter()
        self._stream = stream
        self._live: set[Subscriber] = set()
        self._others: set[Subscriber] = set()
        # The last page that was sent: other subscribers are likely to be at the same position.
        self._page = NO_PAGE

    def __len__(self) -> int:
        return len(self._live) + len(self._others)

    def subscribe(self, client: Client, seq: int) -> Subscriber:
        subscriber = Subscriber(client, self, seq)
        self._others.add(subscriber)
        return subscriber

    def unsubscribe(self, subscriber: Subscriber) -> None:
        subscriber.state = SubscriberState.CLOSED
        self._live.discard(subscriber)
        self._others.discard(subscriber)
        self._drop_unused_page()

    def mark_live(self, subscriber: Subscriber) -> None:
        """The subscriber has everything up to the head and receives the next events as they arrive."""
        subscriber.state = SubscriberState.LIVE
        self._others.discard(subscriber)
        self._live.add(subscriber)
        self._drop_unused_page()

    def send(self, events: Sequence[Event], before: int) -> None:
        """Sends matching events to the LIVE subscribers; `before` is the head without these events."""
        if self._live and (batch := self.encode(events)) is not None:
            self.write(batch, before)

    def write(self, batch: FrameBatch, before: int) -> None:
        """The hottest loop of the project: it runs for each client and each message.

        A subscriber whose transport is full stays at `before` and catches up from there.
        """
        full = []
        for subscriber in self._live:
            transport = subscriber.transport
            if transport.writable:
                transport.push(batch)
            else:
                full.append(subscriber)
        metrics.count_sent(len(batch.frames), len(batch.wire), clients=len(self._live) - len(full))
        for subscriber in full:
            self._fall_behind(subscriber, before)

    def send_page(self, subscriber: Subscriber, events: Sequence[Event], upto: int) -> None:
        """Sends a page of the history; the next subscriber at the same position receives the same bytes."""
        page_key = (events[0].seq, events[-1].seq, len(events)) if events else (0, 0, 0)
        if self._page[0] != page_key:
            self._page = (page_key, self.encode(events))
        subscriber.push(self._page[1], upto)

    def encode(self, events: Sequence[Event]) -> FrameBatch | None:
        """The matching events in the group's encoding; None if none matches."""
        matches = self.filter.matches
        frames = [event.frame for event in events if self._matches_all or matches(event.fact)]
        if not frames:
            return None
        return self.batch_of([batch_frame(self._stream.name, frames)] if self.encoding.is_batch else frames)

    def batch_of(self, frames: Sequence[bytes]) -> FrameBatch:
        return FrameBatch(frames, is_compressed=self.encoding.is_compressed)

    def stalled_before(self, oldest: int) -> list[Subscriber]:
        """Stalled subscribers whose next event is no longer in the history, which reaches back to `oldest`."""
        return [subscriber for subscriber in self._others if subscriber.is_stalled and subscriber.seq < oldest]

    def _drop_unused_page(self) -> None:
        # An unused page in each of thousands of groups would be gigabytes.
        if not self._others:
            self._page = NO_PAGE

    def _fall_behind(self, subscriber: Subscriber, seq: int) -> None:
        subscriber.state, subscriber.seq = SubscriberState.BEHIND, seq
        self._live.discard(subscriber)
        self._others.add(subscriber)


class FieldIndex:
    """The groups that name values of one field, by value."""

    def __init__(self, field: str) -> None:
        self.value_of = INDEXED_FIELDS[field]
        self._field = field
        self.groups: defaultdict[Any, set[FilterGroup]] = defaultdict(set)

    def add(self, group: FilterGroup) -> None:
        for value in getattr(group.filter, self._field):
            self.groups[value].add(group)

    def discard(self, group: FilterGroup) -> None:
        for value in getattr(group.filter, self._field):
            self.groups[value].discard(group)
            if not self.groups[value]:
                del self.groups[value]


class FilterGroups:
    """The groups of one stream: one for each filter and encoding with a subscriber."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._groups: dict[tuple[Filter, Encoding], FilterGroup] = {}
        # Groups whose filter names no values: they get every event.
        self._unindexed: set[FilterGroup] = set()
        # Empty ones are removed: each index costs a lookup for each event.
        self._indexes: dict[str, FieldIndex] = {}

    def __iter__(self) -> Iterator[FilterGroup]:
        return iter(list(self._groups.values()))

    def group(self, criteria: Filter, encoding: Encoding) -> FilterGroup:
        """The group of this filter and encoding; its first subscriber creates it."""
        group = self._groups.get((criteria, encoding))
        if group is None:
            group = self._groups[criteria, encoding] = FilterGroup(self._stream, criteria, encoding)
            self._index(group)
        return group

    def drop_if_empty(self, group: FilterGroup) -> None:
        # An evicted subscriber is unsubscribed again when its connection ends; by then another group may have the key.
        if len(group) or self._groups.get((group.filter, group.encoding)) is not group:
            return
        del self._groups[group.filter, group.encoding]
        field = _indexed_field(group.filter)
        if field is None:
            self._unindexed.discard(group)
            return
        self._indexes[field].discard(group)
        if not self._indexes[field].groups:
            del self._indexes[field]

    def route(self, events: Sequence[Event]) -> Iterator[tuple[FilterGroup, Sequence[Event]]]:
        """Each group with those of `events` that its indexed field accepts, in order."""
        for group in self._unindexed:
            yield group, events
        if not self._indexes:
            return
        routed: defaultdict[FilterGroup, list[Event]] = defaultdict(list)
        for index in self._indexes.values():
            value_of, groups = index.value_of, index.groups
            for event in events:
                for group in groups.get(value_of(event.fact), ()):
                    routed[group].append(event)
        yield from routed.items()

    def _index(self, group: FilterGroup) -> None:
        field = _indexed_field(group.filter)
        if field is None:
            self._unindexed.add(group)
        else:
            if field not in self._indexes:
                self._indexes[field] = FieldIndex(field)
            self._indexes[field].add(group)


def _indexed_field(criteria: Filter) -> str | None:
    """The most selective field of which the filter names values; None if it names none."""
    return next((field for field in INDEXED_FIELDS if getattr(criteria, field) is not None), None)
