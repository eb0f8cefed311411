"""Backfill: reads from the database the events that the channel layer did not deliver.

A stream's numbers have no holes: a hole in a feed, or a head in the database beyond the feed's, shows that events
are missing. Their rows give the same frames as were published.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.db.models import F, QuerySet

from hyperwatch import metrics
from hyperwatch.db.executor import DatabaseExecutor
from realtime.delivery.feed import Feed, StateFeed
from realtime.protocol.frames import Event, make_event
from realtime.protocol.subscriptions import Filter
from realtime.storage.copy_format import row_reader
from realtime.storage.sequences import (
    StreamPosition,
    StreamState,
    known_coins,
    latest_seqs,
    read_later_states,
    read_snapshot,
    read_stream_states,
)
from realtime.streams import Stream, channels

log = logging.getLogger(__name__)

# Two consumers may publish out of order: the missing event may arrive within this time.
REORDER_GRACE_SECONDS = 0.05
BACKFILL_PAGE_ROWS = 1_000
MAX_SEQ = 2**63 - 1


class Backfill:
    """Detects missing events of a hub's feeds and reads them from the database.

    feeds           the feeds of the hub, by channel
    on_missed       called if a head grew without a message: the group subscription may have been lost
    on_new_epoch    called when the database has another epoch than the feeds
    """

    def __init__(
        self,
        feeds: Mapping[str, Feed],
        database: DatabaseExecutor,
        on_missed: Callable[[], None],
        on_new_epoch: Callable[[str], None],
    ) -> None:
        self._feeds = feeds
        self._database = database
        self._on_missed = on_missed
        self._on_new_epoch = on_new_epoch
        self._watching: asyncio.Task[None] | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._repeat: set[str] = set()

    def start(self, epoch: str) -> None:
        self._watching = asyncio.ensure_future(self._watch(epoch))

    def stop(self) -> None:
        for task in (self._watching, *self._tasks.values()):
            if task is not None:
                task.cancel()

    def schedule(self, feed: Feed, reason: str) -> None:
        """Reads the missing events of a feed in a task, one at a time for each stream; `reason` is for the metrics."""
        name = feed.stream.name
        if name in self._tasks:
            # The query under way may be older than the rows that this hole needs.
            self._repeat.add(name)
            return
        self._tasks[name] = asyncio.ensure_future(self._backfill(feed, reason))
        self._tasks[name].add_done_callback(partial(self._on_done, feed))

    async def read_forward(self, feed: Feed, reason: str) -> None:
        """Reads the events after the feed's head: all of them if `reason` is "heads", else until no hole is left."""
        while feed.has_hole or reason == "heads":
            head = feed.head
            events = await self._database.run(read_events, feed.stream, head, BACKFILL_PAGE_ROWS)
            metrics.HUB_BACKFILLED_EVENTS_TOTAL.labels(feed.stream.name, reason).inc(len(events))
            feed.accept(events)
            # A head that does not move means pruned rows, which the next poll of the heads reports.
            if len(events) < BACKFILL_PAGE_ROWS or feed.head == head:
                return

    async def _watch(self, epoch: str) -> None:
        """Polls the heads at a fixed interval, regardless of received messages and of failed polls."""
        while True:
            await asyncio.sleep(settings.STREAM_SYNC_INTERVAL_SECONDS)
            try:
                for feed in self._feeds.values():
                    feed.evict_stalled()
                await self._compare(await self._database.run(read_later_states, epoch, self._positions()), epoch)
            except (DatabaseError, InterfaceError) as error:
                log.warning("the database is unavailable, the heads are polled again later: %s", str(error).strip())
            except Exception:
                log.exception("polling the heads failed; the next poll retries")

    def _positions(self) -> dict[str, StreamPosition]:
        return {name: StreamPosition(feed.head, feed.floor) for name, feed in self._feeds.items()}

    async def _compare(self, state: StreamState, epoch: str) -> None:
        if state.epoch != epoch:
            self._on_new_epoch(state.epoch)
            return
        await asyncio.sleep(REORDER_GRACE_SECONDS)
        for name, feed in self._feeds.items():
            feed.prune_to(state.positions[name].floor)
            if isinstance(feed, StateFeed) and feed.has_lost_latest:
                feed.reload_latest(await self._database.run(read_states, feed.stream))
        behind = [feed for name, feed in self._feeds.items() if feed.head < state.positions[name].head]
        for feed in behind:
            self.schedule(feed, "heads")
        if behind:
            self._on_missed()

    async def _backfill(self, feed: Feed, reason: str) -> None:
        await asyncio.sleep(REORDER_GRACE_SECONDS)
        try:
            await self.read_forward(feed, reason)
        except (DatabaseError, InterfaceError) as error:
            log.warning(
                "backfill of %s failed, the next poll of the heads retries: %s", feed.stream.name, str(error).strip()
            )

    def _on_done(self, feed: Feed, task: asyncio.Task[None]) -> None:
        name = feed.stream.name
        del self._tasks[name]
        is_repeated = name in self._repeat
        self._repeat.discard(name)
        if is_repeated and feed.has_hole and not task.cancelled():
            self.schedule(feed, "hole")


def read_events(stream: Stream, after: int, limit: int, upto: int = MAX_SEQ) -> list[Event]:
    """At most `limit` events after seq `after` up to `upto`, ascending."""
    return _events(stream, _rows(stream).filter(id__gt=after, id__lte=upto).order_by("id")[:limit])


def read_latest(stream: Stream, criteria: Filter, after: int, upto: int, limit: int) -> list[Event]:
    """The last `limit` events after seq `after` up to `upto` that match, ascending."""
    matching = _matching(stream, _rows(stream).filter(id__gt=after, id__lte=upto), criteria)
    return _events(stream, matching.order_by("-id")[:limit])[::-1]


def read_start() -> tuple[StreamState, dict[str, list[Event]]]:
    """The initial state of a hub: heads, floors, epoch and, for state streams, the latest state of each coin."""
    states = [stream for stream in channels().values() if stream.is_state]
    # One database snapshot: with a latest state beyond the head, the events before it would be discarded as late.
    with read_snapshot():
        latest = {stream.name: read_states(stream) for stream in states}
        return read_stream_states(), latest


def read_states(stream: Stream) -> list[Event]:
    """The latest state of each coin."""
    return _events(stream, _rows(stream).filter(id__in=latest_seqs(stream.name)))


def _rows(stream: Stream) -> QuerySet[Any]:
    return stream.model._default_manager.order_by()


def _events(stream: Stream, rows: QuerySet[Any]) -> list[Event]:
    reader = row_reader(stream.name)
    return [make_event(stream, reader.row(values)) for values in reader.select(rows)]


def _matching(stream: Stream, rows: QuerySet[Any], criteria: Filter) -> QuerySet[Any]:
    """The rows that the filter accepts, in SQL; `Filter.matches` is the same condition on a fact."""
    if criteria.coins is not None:
        rows = rows.filter(coin__in=known_coins(criteria.coins))
    lists = {
        "side": criteria.sides,
        "address": criteria.addresses,
        "kind": criteria.kinds,
        "whale_id": criteria.whale_ids,
    }
    for name, values in lists.items():
        if values is not None:
            rows = rows.filter(**{f"{stream.columns[name]}__in": values})
    if criteria.min_value is not None:
        value = stream.columns["value"]
        rows = rows.annotate(_value=F(value) if isinstance(value, str) else value)
        rows = rows.filter(_value__gte=criteria.min_value)
    return rows
