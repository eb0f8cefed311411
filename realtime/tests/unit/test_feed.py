"""A feed puts the events of one stream into their order, whatever the channel layer makes of them."""

import asyncio
import itertools
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.delivery.channel_layer import GroupSubscription, channel_layer
from realtime.delivery.feed import EventFeed, Feed, StateFeed
from realtime.delivery.filter_groups import Encoding, FilterGroups, FrameBatch
from realtime.delivery.history import FrameHistory
from realtime.delivery.subscribers import Transport
from realtime.protocol.frames import Event
from realtime.protocol.subscriptions import Filter
from realtime.protocol.vocabulary import CloseCode
from realtime.storage.sequences import StreamPosition
from realtime.streams import Fact, get_stream

START = datetime(2026, 1, 10, tzinfo=UTC)


class Listening:
    """A client and its transport in one."""

    writable, is_compressed, kind = True, False, "test"

    def __init__(self) -> None:
        self.frames: list[str] = []
        self.on_drain: Callable[[], None] | None = None
        self.transport: Transport = self

    def push(self, batch: FrameBatch) -> None:
        self.frames += batch.texts

    def close_with(self, code: CloseCode) -> None:
        raise AssertionError(f"unexpected close with {code}")


def event(seq: int, coin: str = "BTC", minute: int = 0) -> Event:
    return Event(seq, Fact(time=START + timedelta(minutes=minute), coin=coin), str(seq).encode())


def feed_of(name: str, newest: Sequence[Event] = ()) -> tuple[Feed, Listening]:
    stream, listening = get_stream(name), Listening()
    is_state = stream.is_state
    place = StreamPosition(0, 0)
    feed = StateFeed(stream, place, 1_000, newest) if is_state else EventFeed(stream, place, 1_000)
    subscriber = feed.subscribe(listening, Filter(), Encoding())
    subscriber.group.mark_live(subscriber)
    return feed, listening


@given(st.permutations(range(1, 25)), st.lists(st.integers(1, 24)), st.integers(1, 6))
def test_unordered_and_repeated_events_are_sent_once_in_order(order: list[int], repeated: list[int], size: int) -> None:
    feed, listening = feed_of("liquidations")
    seqs = iter(order + repeated)
    while batch := list(itertools.islice(seqs, size)):
        feed.accept([event(seq) for seq in batch])
    assert not feed.has_hole
    assert listening.frames == [str(seq) for seq in range(1, 25)]


def test_a_hole_holds_back_what_comes_behind_it() -> None:
    feed, listening = feed_of("liquidations")
    feed.accept([event(1), event(3)])
    assert (listening.frames, feed.has_hole, feed.head) == (["1"], True, 1)
    feed.accept([event(2)])
    assert (listening.frames, feed.has_hole, feed.head) == (["1", "2", "3"], False, 3)


def test_events_behind_a_gap_are_bounded() -> None:
    """A thousand bytes of frames that have three or four each, and the one that goes beyond."""
    feed, listening = feed_of("liquidations")
    feed.accept([event(seq) for seq in range(101, 1_001)])
    feed.accept([event(seq) for seq in range(1, 101)])
    assert (feed.head, feed.has_hole) == (434, False)
    feed.accept([event(seq) for seq in range(201, 1_001)])
    assert listening.frames == [str(seq) for seq in range(1, 1_001)]


def test_only_newer_states_of_a_coin_are_sent() -> None:
    feed, listening = feed_of("long_short_ratios", [event(0, "ETH", 5)])
    minutes = [("BTC", 1), ("BTC", 3), ("BTC", 2), ("ETH", 5), ("ETH", 6)]
    feed.accept([event(seq, coin, minute) for seq, (coin, minute) in enumerate(minutes, 1)])
    assert feed.head == 5
    assert listening.frames == ["1", "2", "5"]


def some_of(*values: Any) -> st.SearchStrategy[frozenset[Any] | None]:
    return st.none() | st.frozensets(st.sampled_from(values), min_size=1)


filters = st.builds(
    Filter,
    coins=some_of("btc", "eth"),
    sides=some_of("LONG", "SHORT"),
    addresses=some_of("0xa", "0xb"),
    kinds=some_of("ORDER", "FUNDING"),
    whale_ids=some_of(1, 2),
    min_value=st.none() | st.just(Decimal(5)),
)
facts = st.builds(
    Fact,
    time=st.just(START),
    coin=st.sampled_from(["BTC", "ETH", "SOL"]),
    side=st.sampled_from([None, "LONG", "SHORT"]),
    address=st.sampled_from([None, "0xa", "0xb"]),
    kind=st.sampled_from([None, "ORDER"]),
    whale_id=st.sampled_from([None, 1, 2]),
    value=st.sampled_from([None, "4", "6"]),
)


@given(st.lists(filters, min_size=1, max_size=6), st.lists(facts, max_size=12), st.integers(0, 5))
def test_each_filter_gets_its_matching_events_in_order(criteria: list[Filter], sent: list[Fact], ended: int) -> None:
    feed = EventFeed(get_stream("transactions"), StreamPosition(0, 0), 1_000)
    clients = [(Listening(), one) for one in criteria]
    subscribers = [feed.subscribe(listening, one, Encoding()) for listening, one in clients]
    for subscriber in subscribers:
        subscriber.group.mark_live(subscriber)
    for subscriber in subscribers[:ended]:
        feed.unsubscribe(subscriber)
    events = [Event(seq, fact, str(seq).encode()) for seq, fact in enumerate(sent, 1)]
    feed.accept(events[:3])
    feed.accept(events[3:])
    for listening, one in clients[ended:]:
        assert listening.frames == [str(event.seq) for event in events if one.matches(event.fact)]
    assert all(listening.frames == [] for listening, _ in clients[:ended])


def naming(field: str, value: Any) -> Filter:
    values: dict[str, Any] = {field: frozenset([value])}
    return Filter(**values)


@pytest.mark.parametrize(
    ("field", "value_of"), [("addresses", str), ("whale_ids", int), ("coins", str), ("kinds", str), ("sides", str)]
)
def test_event_reaches_only_groups_that_name_its_value(field: str, value_of: Callable[[int], Any]) -> None:
    groups = FilterGroups(get_stream("transactions"))
    for number in range(1_000):
        groups.group(naming(field, value_of(number)), Encoding())
    fact = Fact(time=START, coin="7", side="7", address="7", kind="7", whale_id=7)
    routed = dict(groups.route([Event(1, fact, b"")]))
    assert [group.filter for group in routed] == [naming(field, value_of(7))]


def test_ended_groups_leave_no_index() -> None:
    feed, listening = feed_of("transactions")
    named = [Filter(addresses=frozenset(["0xa"]), coins=frozenset(["btc"])), Filter(coins=frozenset(["btc", "eth"]))]
    for subscriber in [feed.subscribe(listening, one, Encoding()) for one in named]:
        feed.unsubscribe(subscriber)
    assert (feed._groups._indexes, feed.subscribers) == ({}, 1)


def test_a_lane_ends_with_its_last_follower() -> None:
    feed, listening = feed_of("liquidations")
    second = feed.subscribe(listening, Filter(), Encoding())
    assert feed.subscribers == 2
    feed.unsubscribe(second)
    feed.unsubscribe(second)
    assert feed.subscribers == 1


def test_event_history_is_bounded_and_never_empty() -> None:
    feed = EventFeed(get_stream("liquidations"), StreamPosition(0, 0), 10)
    feed.accept([event(seq) for seq in range(1, 13)])
    assert feed.history.bytes == 10
    assert [retained.seq for retained in feed.after(6)[0]] == [7, 8, 9, 10, 11, 12]  # type: ignore[index]
    assert feed.after(4) is None
    feed.accept([Event(13, Fact(time=START, coin="BTC"), b"x" * 100)])
    assert feed.history.bytes == 100
    assert feed.after(12) is not None


def test_a_ring_holds_little_beyond_its_bytes() -> None:
    history = FrameHistory(0, 10_000)
    events = [Event(seq, Fact(time=START, coin="BTC"), b"x" * 100) for seq in range(1_000)]
    ours, most = sys.getrefcount(events[0]), 0
    for at in range(len(events)):
        history.extend(events[at : at + 1])
        most = max(most, sum(sys.getrefcount(events[seq]) > ours for seq in range(at + 1)))
    assert len(history) == 100
    assert 100 <= most <= 113


def test_slow_state_subscriber_continues_with_latest_of_coins() -> None:
    feed = StateFeed(get_stream("long_short_ratios"), StreamPosition(0, 0), 10, ())
    feed.accept([event(seq, ("BTC", "ETH")[seq % 2], minute=seq) for seq in range(1, 20)])
    assert [[due.seq for due in feed.after(seq)[0]] for seq in (15, 14, 2)] == [
        [16, 17, 18, 19],
        [15, 16, 17, 18, 19],
        [18, 19],
    ]
    assert [due.seq for due in feed.resume(15)[0]] == [18, 19]


def test_ended_membership_leaves_nothing_in_channel_layer() -> None:
    async def run() -> None:
        def on_message(message: dict[str, Any]) -> None:
            raise AssertionError(f"unexpected message {message}")

        layer: Any = channel_layer()
        subscription = GroupSubscription(["liquidations", "transactions"], on_message)
        for _ in range(3):
            subscription.resubscribe()
            await subscription.subscribed.wait()
        subscription.close()
        await asyncio.sleep(0.05)
        assert {name: members for name, members in layer.groups.items() if members} == {}

    asyncio.run(run())
