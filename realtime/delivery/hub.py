"""The hub: the clients and the feeds of one event loop, while there are clients.

It sends stored events to the clients of this process, complete and in order. The channel layer is only a
notification: it may lose, reorder or stop messages, and missing events are read from the database.
"""

import asyncio
import contextlib
import logging
import time
from typing import Any
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from hyperwatch import metrics
from hyperwatch.db.errors import is_cancelled
from hyperwatch.db.executor import DatabaseExecutor
from realtime.delivery.backfill import Backfill, read_start
from realtime.delivery.channel_layer import GroupSubscription
from realtime.delivery.feed import EventFeed, Feed, StateFeed
from realtime.delivery.filter_groups import Encoding
from realtime.delivery.subscribers import Client, Subscriber, SubscriberState
from realtime.delivery.subscription_start import SubscriptionStart
from realtime.protocol.frames import Event, unpack
from realtime.protocol.subscriptions import Subscription
from realtime.protocol.vocabulary import CloseCode
from realtime.storage.sequences import StreamPosition
from realtime.streams import Stream, channels

log = logging.getLogger(__name__)

GROUP_JOIN_TIMEOUT_SECONDS = 1.0


class HubUnavailable(Exception):
    """The database is unavailable; the text is for the client."""

    def __init__(self, message: str = "The database does not answer; try again") -> None:
        super().__init__(message)


class Hub:
    """Registry of the clients and the feeds; the feeds send to the subscribers."""

    def __init__(self) -> None:
        self._clients: set[Client] = set()
        self._feeds: dict[str, Feed] = {}
        self._group_subscription = GroupSubscription(channels(), self._on_message)
        self._database = DatabaseExecutor("hub", timeout_seconds=None)
        self._backfill = Backfill(self._feeds, self._database, self._group_subscription.resubscribe, self._on_new_epoch)
        self._starts = SubscriptionStart(self._backfill)
        self.epoch = ""
        self._started = asyncio.ensure_future(self._start())

    async def ready(self) -> None:
        """Waits until the heads are known; raises HubUnavailable if the database is unavailable."""
        try:
            await asyncio.shield(self._started)
        except Exception as error:
            log.warning("the hub cannot start: %s", str(error).strip())
            discard_hub(self)
            raise HubUnavailable from error

    @property
    def has_failed(self) -> bool:
        return self._started.done() and self._started.exception() is not None

    def positions(self) -> dict[str, StreamPosition]:
        """Head and floor of each channel in this process, which may be behind the database."""
        return {name: StreamPosition(feed.head, feed.floor) for name, feed in self._feeds.items()}

    def position_of(self, stream: Stream, subscriber: Subscriber) -> int:
        """All matching events up to this seq were sent to the subscriber."""
        return self._feeds[stream.name].head if subscriber.state is SubscriberState.LIVE else subscriber.seq

    # Clients

    def attach(self, client: Client) -> None:
        self._clients.add(client)

    def detach(self, client: Client) -> None:
        """Detaches a client; the last one stops the hub."""
        self._clients.discard(client)
        if not self._clients:
            discard_hub(self)
            self._stop()

    def subscribe(self, subscription: Subscription, client: Client, replaced: Subscriber | None = None) -> Subscriber:
        """A subscriber at the head, or at the position of `replaced`, the client's previous one, which may be behind.

        Nothing is sent to it before `start`.
        """
        encoding = Encoding(subscription.is_batch, client.transport.is_compressed)
        metrics.WEBSOCKET_SUBSCRIPTIONS.labels(subscription.stream.name).inc()
        subscriber = self._feeds[subscription.stream.name].subscribe(client, subscription.filter, encoding)
        if not subscription.start.is_at_head:
            subscriber.state = SubscriberState.RESUMING
        elif replaced is not None and replaced.state is not SubscriberState.LIVE:
            subscriber.take_over(replaced)
        return subscriber

    def unsubscribe(self, stream: Stream, subscriber: Subscriber) -> None:
        metrics.WEBSOCKET_SUBSCRIPTIONS.labels(stream.name).dec()
        self._feeds[stream.name].unsubscribe(subscriber)

    async def start(self, subscription: Subscription, subscriber: Subscriber) -> None:
        """Sends the snapshot or the events after `since`, then events as they arrive; raises HubUnavailable."""
        feed = self._feeds[subscription.stream.name]
        try:
            await self._starts.begin(feed, subscriber, subscription.start, self.epoch)
        except TimeoutError as error:
            raise HubUnavailable(_timeout_message()) from error
        except (DatabaseError, InterfaceError) as error:
            raise HubUnavailable(_timeout_message()) if is_cancelled(error) else HubUnavailable() from error
        subscriber.is_busy = False
        await self.catch_up(subscription.stream, subscriber)

    async def catch_up(self, stream: Stream, subscriber: Subscriber) -> None:
        """Sends the events that a subscriber has missed; called when its transport has drained."""
        await self._starts.catch_up(self._feeds[stream.name], subscriber)

    # Lifecycle

    async def _start(self) -> None:
        # Groups before heads: an event published after the heads were read is received, or found by the next poll.
        self._group_subscription.resubscribe()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._group_subscription.subscribed.wait(), GROUP_JOIN_TIMEOUT_SECONDS)
        state, latest = await self._database.run(read_start)
        self.epoch = state.epoch
        for name, stream in channels().items():
            position = state.positions.get(name, StreamPosition(0, 0))
            self._feeds[name] = _feed(stream, position, latest.get(name, []))
        self._backfill.start(self.epoch)

    def _stop(self) -> None:
        for name in self._feeds:
            metrics.HUB_HISTORY_BYTES.labels(name).set(0)
        self._started.cancel()
        self._backfill.stop()
        self._group_subscription.close()
        self._database.shutdown()
        self._starts.stop()

    def _on_message(self, message: Any) -> None:
        """Accepts the events of a message, unless it is another installation's or another version's."""
        try:
            stream, epoch, packed = message["stream"], message["epoch"], message["events"]
            feed = self._feeds.get(stream)
            events = unpack(packed) if feed is not None and epoch == self.epoch else []
        except Exception as error:  # noqa: BLE001 (any error: the format is unknown)
            metrics.HUB_DISCARDED_MESSAGES_TOTAL.labels("undecodable").inc()
            log.warning("a message cannot be decoded, its events are read from the database: %r", error)
            return
        if feed is None:
            return
        if epoch != self.epoch:
            metrics.HUB_DISCARDED_MESSAGES_TOTAL.labels("other epoch").inc()
            return
        feed.accept(events)
        if (sent_ms := message.get("sent_ms", 0)) > 0:
            metrics.HUB_DELIVERY_LATENCY_SECONDS.labels(feed.stream.name).observe(max(time.time() - sent_ms / 1000, 0))
        if feed.has_hole:
            self._backfill.schedule(feed, "hole")

    def _on_new_epoch(self, epoch: str) -> None:
        log.warning("new epoch %s, the numbers start again: all clients are disconnected", epoch)
        # Before the disconnects, so that a client which reconnects gets a new hub.
        discard_hub(self)
        for client in list(self._clients):
            client.close_with(CloseCode.GOING_AWAY)


def _feed(stream: Stream, position: StreamPosition, latest: list[Event]) -> Feed:
    history_bytes = settings.STREAM_HISTORY_MAX_BYTES
    if stream.is_state:
        return StateFeed(stream, position, history_bytes, latest)
    return EventFeed(stream, position, history_bytes)


def _timeout_message() -> str:
    seconds = settings.DATABASE_STATEMENT_TIMEOUT_SECONDS
    return f"The database did not answer within {seconds:g} s; try again, or request a smaller snapshot"


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def get_hub() -> Hub:
    """The hub of the running loop; the first client starts it."""
    loop = asyncio.get_running_loop()
    if loop not in _hubs:
        _hubs[loop] = Hub()
    return _hubs[loop]


def discard_hub(hub: Hub) -> None:
    for loop, registered in list(_hubs.items()):
        if registered is hub:
            del _hubs[loop]
