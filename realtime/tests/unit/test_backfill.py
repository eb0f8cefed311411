"""Backfill reads every missing event, and no page twice."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from realtime.delivery import backfill as backfill_module
from realtime.delivery.backfill import Backfill
from realtime.delivery.feed import EventFeed
from realtime.protocol.frames import Event
from realtime.storage.sequences import StreamPosition
from realtime.streams import get_stream
from realtime.tests.unit.test_feed import event

Answer = Callable[[int], Sequence[Event]]


class Database:
    """Returns the events after a seq, and counts the queries."""

    def __init__(self, answer: Answer) -> None:
        self.queries = 0
        self._answer = answer

    async def run(self, _query: object, _stream: object, after: int, _limit: int) -> Sequence[Event]:
        self.queries += 1
        assert self.queries < 10, "the same page is read again and again"
        await asyncio.sleep(0)
        return self._answer(after)


def backfilled(
    answer: Answer, feed: EventFeed, received: Sequence[Event], on_query: Callable[[Backfill], None] | None = None
) -> int:
    """Accepts events, backfills until no task is left, and returns the number of queries."""

    async def run() -> int:
        database: Any = Database(lambda after: (on_query and on_query(backfill), answer(after))[1])
        backfill = Backfill({}, database, on_missed=lambda: None, on_new_epoch=lambda _epoch: None)
        feed.accept(received)
        backfill.schedule(feed, "hole")
        while backfill._tasks:
            await asyncio.wait(backfill._tasks.values())
        queries: int = database.queries
        return queries

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill_module, "REORDER_GRACE_SECONDS", 0)


def test_a_page_behind_what_was_pruned_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next poll of the heads reports the pruned rows."""
    monkeypatch.setattr(backfill_module, "BACKFILL_PAGE_ROWS", 3)
    feed = EventFeed(get_stream("liquidations"), StreamPosition(0, 0), 1_000)
    assert backfilled(lambda _after: [event(seq) for seq in (5, 6, 7)], feed, [event(9)]) == 1
    assert feed.has_hole


def test_gap_opened_during_backfill_is_backfilled() -> None:
    feed = EventFeed(get_stream("liquidations"), StreamPosition(0, 0), 1_000)
    stored = 3

    def receive_more(backfill: Backfill) -> None:
        nonlocal stored
        if stored == 3:
            # The query returns the rows stored before it; an event of a later one is received meanwhile.
            stored = 6
            feed.accept([event(6)])
            backfill.schedule(feed, "hole")

    def answer(after: int) -> list[Event]:
        return [event(seq) for seq in range(after + 1, stored + 1 if after else 4)]

    assert backfilled(answer, feed, [event(3)], receive_more) == 2
    assert (feed.head, feed.has_hole) == (6, False)
