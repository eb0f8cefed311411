"""The beginning of a subscription: a snapshot, or the events after `since`, until the subscriber is live."""

import asyncio
import logging
from collections.abc import Sequence

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from hyperwatch.db.errors import is_cancelled
from hyperwatch.db.executor import DatabaseExecutor
from realtime.delivery.backfill import BACKFILL_PAGE_ROWS, Backfill, read_events, read_latest
from realtime.delivery.feed import Feed
from realtime.delivery.filter_groups import FilterGroup, FrameBatch
from realtime.delivery.subscribers import Subscriber, SubscriberState
from realtime.protocol.frames import Event, gap_frame, snapshot_frame
from realtime.protocol.subscriptions import Filter, StartPosition
from realtime.protocol.vocabulary import CloseCode

log = logging.getLogger(__name__)

# A snapshot is searched in this many of the latest rows first, which is fast.
SEARCH_WINDOW_ROWS = 20_000
QUICK_SEARCH_TIMEOUT_SECONDS = 1.0


class SubscriptionStart:
    """Sends the first frames of subscriptions, and later the events missed while a transport was full.

    Separate database connections: backfill does not wait for the queries of clients, a client that resumes does not
    wait for a snapshot, and a quick search does not wait for a slow one.
    """

    def __init__(self, backfill: Backfill) -> None:
        self._backfill = backfill
        self._resumes = DatabaseExecutor("hub-resumes", timeout_seconds=settings.DATABASE_STATEMENT_TIMEOUT_SECONDS)
        self._quick_searches = DatabaseExecutor("hub-quick-searches", timeout_seconds=QUICK_SEARCH_TIMEOUT_SECONDS)
        self._searches = DatabaseExecutor(
            "hub-searches", 2, timeout_seconds=settings.DATABASE_STATEMENT_TIMEOUT_SECONDS
        )

    def stop(self) -> None:
        self._resumes.shutdown()
        self._quick_searches.shutdown()
        self._searches.shutdown()

    async def begin(self, feed: Feed, subscriber: Subscriber, start: StartPosition, epoch: str) -> None:
        """Sends a snapshot or a gap, and sets the position to catch up from; raises what the database raises.

        TimeoutError: a snapshot took longer than DATABASE_STATEMENT_TIMEOUT_SECONDS. `epoch` is the feed's.
        """
        if start.snapshot is not None:
            await self._snapshot(feed, subscriber, start.snapshot)
        elif start.since is not None:
            await self._resume(feed, subscriber, start, epoch)

    async def catch_up(self, feed: Feed, subscriber: Subscriber) -> None:
        """Sends the events after the position while the transport is writable, until the subscriber is LIVE.

        Called again when the transport has drained; does nothing while another call is sending.
        """
        if subscriber.is_busy:
            return
        subscriber.is_busy = True
        try:
            await self._catch_up(feed, subscriber)
        except (DatabaseError, InterfaceError) as error:
            # A transport that has drained already triggers no other call. The client reconnects with `since`.
            log.warning("a client is disconnected, the database cannot read its next events: %s", str(error).strip())
            subscriber.client.close_with(CloseCode.GOING_AWAY)
        finally:
            subscriber.is_busy = False

    async def _catch_up(self, feed: Feed, subscriber: Subscriber) -> None:
        while subscriber.is_catching_up and subscriber.transport.writable:
            if subscriber.seq >= feed.head:
                subscriber.group.mark_live(subscriber)
                return
            is_resuming = subscriber.state is SubscriberState.RESUMING
            page = feed.resume(subscriber.seq) if is_resuming else feed.after(subscriber.seq)
            if page is not None:
                subscriber.group.send_page(subscriber, *page)
            elif is_resuming:
                await self._read_page(feed, subscriber)
            else:
                feed.evict(subscriber)
            # Yields to other clients: while the kernel accepts all data, a hundred pages would block the loop.
            await asyncio.sleep(0)

    async def _read_page(self, feed: Feed, subscriber: Subscriber) -> None:
        """Sends a page from the database; sends a gap for rows that retention has removed meanwhile."""
        upto = feed.head
        events = await self._resumes.run(read_events, feed.stream, subscriber.seq, BACKFILL_PAGE_ROWS, upto)
        if subscriber.state is SubscriberState.CLOSED:
            return
        first = events[0].seq if events else upto + 1
        if first > subscriber.seq + 1:
            subscriber.write([gap_frame(feed.stream.name, subscriber.seq + 1, first - 1)], first - 1)
        if events:
            subscriber.push(subscriber.group.encode(events), events[-1].seq)

    async def _snapshot(self, feed: Feed, subscriber: Subscriber, limit: int) -> None:
        group = subscriber.group
        head = subscriber.seq = feed.head
        events = feed.latest(group.filter, limit)
        if events is None:
            async with asyncio.timeout(settings.DATABASE_STATEMENT_TIMEOUT_SECONDS):
                events = await self._search(feed, group.filter, head, limit)
        # In a thread: hundreds of states are megabytes, and joining and compressing them would delay all other frames.
        batch = await asyncio.to_thread(_encode_snapshot, feed.stream.name, head, events, group)
        if subscriber.state is not SubscriberState.CLOSED:
            subscriber.push(batch, head)

    async def _search(self, feed: Feed, criteria: Filter, head: int, limit: int) -> list[Event]:
        """The latest matching events: from a window of rows first, then, if matches are rare, from the whole stream."""
        after = max(feed.floor, head - SEARCH_WINDOW_ROWS)
        try:
            events = await self._quick_searches.run(read_latest, feed.stream, criteria, after, head, limit)
            if len(events) == limit or after == feed.floor:
                return events
        except DatabaseError as error:
            if not is_cancelled(error):
                raise
        return await self._searches.run(read_latest, feed.stream, criteria, feed.floor, head, limit)

    async def _resume(self, feed: Feed, subscriber: Subscriber, start: StartPosition, epoch: str) -> None:
        """Sets the position to `since`, or sends a gap and sets it to the end of the gap."""
        since = start.since or 0
        is_same_epoch = start.epoch in (None, epoch)
        if since > feed.head and is_same_epoch:
            # A REST response may have contained a head that has not arrived here yet.
            await self._backfill.read_forward(feed, "heads")
        oldest = max(feed.floor, feed.head - settings.STREAM_REPLAY_MAX)
        subscriber.seq = since
        if since > feed.head or not is_same_epoch:
            # Numbers of another epoch have no meaning in this one: all stored events count as missing.
            self._send_gap(feed, subscriber, feed.floor + 1, feed.head, resume_at=0)
        elif since < oldest:
            self._send_gap(feed, subscriber, since + 1, oldest, resume_at=since)

    @staticmethod
    def _send_gap(feed: Feed, subscriber: Subscriber, first: int, last: int, resume_at: int) -> None:
        """Sends a gap; on a state channel the latest states after `resume_at` follow it."""
        subscriber.write([gap_frame(feed.stream.name, first, last)], last)
        if feed.stream.is_state:
            subscriber.seq = resume_at


def _encode_snapshot(channel: str, head: int, events: Sequence[Event], group: FilterGroup) -> FrameBatch:
    return group.batch_of([snapshot_frame(channel, head, events)])
