"""Backfill: a hub reads every missed event, and no page twice."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from realtime import hub as hub_module
from realtime.feed import EventFeed
from realtime.frames import Event
from realtime.heads import Place
from realtime.hub import Hub
from realtime.streams import get_stream
from realtime.tests.unit.test_feed import event

Answer = Callable[[int], Sequence[Event]]


class Database:
    """Returns the events after a number, and counts the queries."""

    def __init__(self, answer: Answer) -> None:
        self.asked = 0
        self._answer = answer

    async def ask(self, _what: object, _stream: object, after: int, _most: int) -> Sequence[Event]:
        self.asked += 1
        assert self.asked < 10, "the same is read again and again"
        await asyncio.sleep(0)
        return self._answer(after)


def mended(answer: Answer, feed: EventFeed, hear: Sequence[Event], then: Callable[[Hub], None] | None = None) -> int:
    """Publishes, backfills until nothing is missing, and returns the number of queries."""

    async def run() -> int:
        hub: Any = object.__new__(Hub)
        hub._mending, hub._to_mend_again = {}, set()
        hub._database = database = Database(lambda after: (then and then(hub), answer(after))[1])
        hub._offer(feed, hear)
        hub._mend_soon(feed, "hole")
        while hub._mending:
            await asyncio.wait(hub._mending.values())
        return database.asked

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "GRACE", 0)


def test_a_page_behind_what_was_pruned_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The poll of the heads reports the pruned rows."""
    monkeypatch.setattr(hub_module, "MEND_ROWS", 3)
    feed = EventFeed(get_stream("liquidations"), Place(0, 0), 1_000)
    assert mended(lambda _after: [event(seq) for seq in (5, 6, 7)], feed, [event(9)]) == 1
    assert feed.has_hole


def test_gap_opened_during_backfill_is_backfilled() -> None:
    feed = EventFeed(get_stream("liquidations"), Place(0, 0), 1_000)
    stored = 3

    def grow(hub: Hub) -> None:
        nonlocal stored
        if stored == 3:
            # Events stored before are read; later ones arrive meanwhile.
            stored = 6
            hub._offer(feed, [event(6)])
            hub._mend_soon(feed, "hole")

    def answer(after: int) -> list[Event]:
        return [event(seq) for seq in range(after + 1, stored + 1 if after else 4)]

    assert mended(answer, feed, [event(3)], grow) == 2
    assert (feed.head, feed.has_hole) == (6, False)
