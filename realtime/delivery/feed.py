"""One stream in this process: orders its events, holds the latest, and sends them to its subscribers.

Unsent events are not queued for each client: a client is a position in the history that all of them share.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import attrgetter

from hyperwatch import metrics
from realtime.delivery.filter_groups import Encoding, FilterGroups
from realtime.delivery.history import FrameHistory, ReorderBuffer
from realtime.delivery.subscribers import Client, Subscriber
from realtime.protocol.frames import Event, gap_frame
from realtime.protocol.subscriptions import Filter
from realtime.protocol.vocabulary import CloseCode
from realtime.storage.sequences import StreamPosition
from realtime.streams import Stream

# Events, ascending, and the seq that a subscriber has reached once they are sent.
Page = tuple[Sequence[Event], int]

# Seqs in a page at most; the sender checks the transport after each page.
PAGE_SEQS = 512


class Feed(ABC):
    """Sorts the events of one stream by seq and sends each once.

    It never awaits: published events and events from the database cannot overtake each other on the way to a client.
    """

    def __init__(self, stream: Stream, position: StreamPosition, history_bytes: int) -> None:
        self.stream = stream
        self.head, self.floor = position
        self.history = FrameHistory(position.head, history_bytes)
        self._groups = FilterGroups(stream)
        self._buffer = ReorderBuffer(history_bytes)

    @property
    def has_hole(self) -> bool:
        """The buffer holds events after a missing one, which may still arrive or has to be backfilled."""
        return bool(self._buffer)

    @property
    def subscribers(self) -> int:
        return sum(map(len, self._groups))

    def accept(self, events: Iterable[Event]) -> None:
        """Accepts events in any order, repeated ones too, and sends those that follow the head."""
        before = self.head
        in_order = self._in_order(events)
        if in_order:
            for group, routed in self._groups.route(in_order):
                group.send(routed, before)
            metrics.HUB_EVENTS_TOTAL.labels(self.stream.name).inc(len(in_order))
            metrics.HUB_HISTORY_BYTES.labels(self.stream.name).set(self.history.bytes)

    def prune_to(self, floor: int) -> None:
        """Sets the floor to that of the database.

        Events that retention removed before they arrived here are lost: subscribers receive a gap.
        """
        self.floor = floor
        if self.head >= floor:
            return
        before, self.head = self.head, floor
        gap = gap_frame(self.stream.name, before + 1, floor)
        self._buffer.drop_upto(floor)
        self.history = FrameHistory(floor, self.history.max_bytes)
        for group in self._groups:
            group.write(group.batch_of([gap]), before)
        self.accept(())

    def subscribe(self, client: Client, criteria: Filter, encoding: Encoding) -> Subscriber:
        """A subscriber at the head."""
        return self._groups.group(criteria, encoding).subscribe(client, self.head)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        subscriber.group.unsubscribe(subscriber)
        self._groups.drop_if_empty(subscriber.group)

    def evict(self, subscriber: Subscriber) -> None:
        """Disconnects a subscriber that is further behind than the history reaches; it reconnects with `since`."""
        self.unsubscribe(subscriber)
        subscriber.client.close_with(CloseCode.TOO_SLOW)

    def evict_stalled(self) -> None:
        """Evicts the subscribers that the history no longer serves.

        A transport that never drains again calls nothing, so that its subscriber is found only here.
        """
        for group in self._groups:
            for subscriber in group.stalled_before(self.history.oldest):
                self.evict(subscriber)

    def after(self, seq: int) -> Page | None:
        """The page after `seq`; None if the history does not reach back that far."""
        if seq < self.history.oldest:
            return None
        # Pages end at the same seqs for all, so that subscribers which catch up share their encoded bytes.
        upto = min((seq // PAGE_SEQS + 1) * PAGE_SEQS, self.head)
        return self.history.between(seq, upto), upto

    def resume(self, seq: int) -> Page | None:
        """The page after `seq` for a client that reconnected; None if the history does not reach back that far."""
        return self.after(seq)

    @abstractmethod
    def latest(self, criteria: Filter, limit: int) -> Sequence[Event] | None:
        """The events of a snapshot, ascending; None if the history is too short.

        Event streams: the last `limit`. State streams: the latest of each coin.
        """

    @abstractmethod
    def _is_sendable(self, event: Event) -> bool:
        """Whether an event that follows the head is sent to the subscribers."""

    def _in_order(self, events: Iterable[Event]) -> list[Event]:
        """The events that can be sent now; events after a missing one are buffered."""
        in_order = list(self._drain_buffer())
        for event in events:
            if event.seq == self.head + 1:
                self.head += 1
                in_order.append(event)
                if self._buffer:
                    in_order += self._drain_buffer()
            elif event.seq > self.head:
                self._buffer.put(event)
        in_order = [event for event in in_order if self._is_sendable(event)]
        self.history.extend(in_order)
        return in_order

    def _drain_buffer(self) -> Iterator[Event]:
        """Buffered events that follow the head without a hole."""
        while event := self._buffer.pop(self.head + 1):
            self.head += 1
            yield event


class EventFeed(Feed):
    """An event stream: sends every event. A subscriber that falls behind the history has to reconnect."""

    def latest(self, criteria: Filter, limit: int) -> Sequence[Event] | None:
        events = self.history.latest_first()
        matching = (event for event in events if event.seq > self.floor and criteria.matches(event.fact))
        latest = list(islice(matching, limit))
        is_complete = self.history.oldest <= self.floor
        return latest[::-1] if is_complete or len(latest) == limit else None

    def _is_sendable(self, event: Event) -> bool:
        return True


class StateFeed(Feed):
    """A state stream: sends new latest states. A subscriber that falls behind the history skips older states."""

    def __init__(self, stream: Stream, position: StreamPosition, history_bytes: int, latest: Iterable[Event]) -> None:
        super().__init__(stream, position, history_bytes)
        self._latest = {event.fact.coin: event for event in latest}
        # Set when pruning removed a coin's latest state, until `reload_latest`.
        self.has_lost_latest = False

    def after(self, seq: int) -> Page:
        page = super().after(seq)
        if page is None:
            metrics.HUB_CONFLATIONS_TOTAL.labels(self.stream.name).inc()
        return page or self.resume(seq)

    def resume(self, seq: int) -> Page:
        newer = [event for event in self._latest.values() if event.seq > seq]
        return sorted(newer, key=attrgetter("seq")), self.head

    def latest(self, criteria: Filter, limit: int) -> Sequence[Event]:
        matching = [event for event in self._latest.values() if criteria.matches(event.fact)]
        return sorted(matching, key=attrgetter("seq"))

    def evict_stalled(self) -> None:
        """Evicts none: `after` serves any position."""

    def prune_to(self, floor: int) -> None:
        """Drops pruned states; the coin's latest may then be an older state that was stored later."""
        remaining = {coin: event for coin, event in self._latest.items() if event.seq > floor}
        self.has_lost_latest |= len(remaining) < len(self._latest)
        self._latest = remaining
        super().prune_to(floor)

    def reload_latest(self, latest: Iterable[Event]) -> None:
        """Adds the latest states from the database, for coins without one here."""
        for event in latest:
            # A state beyond the head is published or backfilled.
            if event.seq <= self.head:
                self._latest.setdefault(event.fact.coin, event)
        self.has_lost_latest = False

    def _is_sendable(self, event: Event) -> bool:
        """False for late states: states older than their coin's latest are stored and not sent."""
        known = self._latest.get(event.fact.coin)
        if known is not None and event.fact.time <= known.fact.time:
            return False
        self._latest[event.fact.coin] = event
        return True
