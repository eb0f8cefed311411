"""The states of a subscriber: live, behind, resuming, closed."""

from collections.abc import Callable

import pytest

from realtime.delivery.feed import EventFeed, Feed, StateFeed
from realtime.delivery.filter_groups import Encoding, FrameBatch
from realtime.delivery.subscribers import Subscriber, SubscriberState, Transport
from realtime.protocol.subscriptions import Filter
from realtime.protocol.vocabulary import CloseCode
from realtime.storage.sequences import StreamPosition
from realtime.streams import get_stream
from realtime.tests.unit.test_feed import event


class SlowClient:
    """A client and its transport in one; a test says whether it is writable."""

    is_compressed, kind = False, "test"

    def __init__(self) -> None:
        self.writable = True
        self.frames: list[str] = []
        self.codes: list[CloseCode] = []
        self.on_drain: Callable[[], None] | None = None
        self.transport: Transport = self

    def push(self, batch: FrameBatch) -> None:
        self.frames += batch.texts

    def close_with(self, code: CloseCode) -> None:
        self.codes.append(code)


def live_subscriber(feed: Feed, client: SlowClient) -> Subscriber:
    subscriber = feed.subscribe(client, Filter(), Encoding())
    subscriber.is_busy = False
    subscriber.group.mark_live(subscriber)
    return subscriber


def event_feed() -> EventFeed:
    return EventFeed(get_stream("liquidations"), StreamPosition(0, 0), 10)


def accept(feed: Feed, low: int, high: int) -> None:
    for seq in range(low, high + 1):
        feed.accept([event(seq, minute=seq)])


def test_live_subscriber_with_full_transport_falls_behind() -> None:
    feed, client = event_feed(), SlowClient()
    subscriber = live_subscriber(feed, client)
    accept(feed, 1, 2)
    client.writable = False
    accept(feed, 3, 4)
    assert (subscriber.state, subscriber.seq, client.frames) == (SubscriberState.BEHIND, 2, ["1", "2"])
    assert feed.after(2) == ([event(3, minute=3), event(4, minute=4)], 4)


def test_stalled_subscriber_of_events_is_evicted_beyond_history() -> None:
    feed, client = event_feed(), SlowClient()
    subscriber = live_subscriber(feed, client)
    client.writable = False
    accept(feed, 1, 9)
    feed.evict_stalled()
    assert subscriber.state is SubscriberState.BEHIND
    accept(feed, 10, 20)
    feed.evict_stalled()
    assert (subscriber.state, client.codes, feed.subscribers) == (SubscriberState.CLOSED, [CloseCode.TOO_SLOW], 0)


@pytest.mark.parametrize(("is_busy", "state"), [(True, SubscriberState.BEHIND), (False, SubscriberState.RESUMING)])
def test_busy_or_resuming_subscriber_is_not_evicted(is_busy: bool, state: SubscriberState) -> None:
    feed, client = event_feed(), SlowClient()
    subscriber = feed.subscribe(client, Filter(), Encoding())
    subscriber.is_busy, subscriber.state = is_busy, state
    accept(feed, 1, 20)
    feed.evict_stalled()
    assert (subscriber.state, client.codes, feed.subscribers) == (state, [], 1)


def test_stalled_subscriber_of_states_is_not_evicted() -> None:
    feed, client = StateFeed(get_stream("long_short_ratios"), StreamPosition(0, 0), 10, ()), SlowClient()
    subscriber = live_subscriber(feed, client)
    client.writable = False
    accept(feed, 1, 20)
    feed.evict_stalled()
    assert (subscriber.state, client.codes) == (SubscriberState.BEHIND, [])


@pytest.mark.parametrize(
    ("replaced", "state"),
    [
        (SubscriberState.RESUMING, SubscriberState.RESUMING),
        (SubscriberState.BEHIND, SubscriberState.BEHIND),
        (SubscriberState.CLOSED, SubscriberState.BEHIND),
    ],
)
def test_replacement_takes_over_position_and_state(replaced: SubscriberState, state: SubscriberState) -> None:
    feed, client = event_feed(), SlowClient()
    accept(feed, 1, 5)
    before, after = (feed.subscribe(client, Filter(), Encoding()) for _ in range(2))
    before.seq, before.state = 2, replaced
    after.take_over(before)
    assert (after.seq, after.state) == (2, state)
