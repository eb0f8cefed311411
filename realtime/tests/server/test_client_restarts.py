"""The client on a real server that ends in mid-stream, while facts are stored."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.tests.services import commands
from hyperwatch.tests.services.waiting import wait_until
from liquidations.models import Liquidation
from realtime.client import Client, Event, Fact, Gap, InvalidChannel, InvalidParams, Pauses
from realtime.models import StreamHead
from realtime.tests import builders
from realtime.tests.builders import stored
from realtime.tests.fake_server import take

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_hub_connections")]


def liquidate(low: int, high: int, **overrides: Any) -> None:
    """Liquidations with tids from `low` to `high`, both in."""
    stored(*(builders.liquidation(raw_data={"tid": tid}, **overrides) for tid in range(low, high + 1)))


class Follower:
    """A client on a thread of its own, and what it has yielded."""

    def __init__(self, url: str, *channels: str, **params: Any) -> None:
        self.events: list[Event] = []
        self.is_subscribed = False
        self._client = Client(url, alive=0.1, pauses=Pauses(0.02, 0.2))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._follow(channels, params),))
        self._thread.start()

    async def _follow(self, channels: tuple[str, ...], params: dict[str, Any]) -> None:
        async with self._client as client:
            for channel in channels:
                await client.subscribe(channel, **params)
            self.is_subscribed = True
            async for event in client:
                self.events.append(event)

    def seqs(self, channel: str = "liquidations") -> list[int]:
        return [event.seq for event in self.events if not isinstance(event, Gap) and event.channel == channel]

    def place(self) -> int:
        """Where the client would resume."""
        position = self._client._subscriptions["liquidations"].position
        return position.seq if position else 0

    def end(self) -> None:
        asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop)
        self._thread.join(10)
        self._loop.close()


@contextmanager
def following(url: str, *channels: str, **params: Any) -> Iterator[Follower]:
    follower = Follower(url, *channels, **params)
    try:
        wait_until(lambda: follower.is_subscribed, "the subscriptions")
        yield follower
    finally:
        follower.end()


@contextmanager
def storing() -> Iterator[list[int]]:
    """Stores a liquidation and a transaction at a time while the body runs; the list has the numbers so far."""
    numbers: list[int] = []
    enough = threading.Event()

    def store() -> None:
        while not enough.wait(0.02):
            number = len(numbers) + 1
            stored(builders.liquidation(raw_data={"tid": number}), builders.transaction(raw_data={"tid": -number}))
            numbers.append(number)
        connection.close()

    writer = threading.Thread(target=store)
    writer.start()
    try:
        yield numbers
    finally:
        enough.set()
        writer.join()


# restarts


@pytest.mark.parametrize("end", [AppProcess.stop, AppProcess.kill], ids=["SIGTERM", "SIGKILL"])
def test_server_restart_loses_and_repeats_no_event(server: AppProcess, end: Callable[[AppProcess], None]) -> None:
    with following(server.ws_url, "liquidations", "transactions") as follower:
        with storing() as numbers:
            wait_until(lambda: len(follower.seqs()) > 10, "the first events")
            end(server)
            server.start()
            before = len(follower.seqs())
            wait_until(lambda: len(follower.seqs()) > before + 10, "events from the new server")
        wait_until(lambda: len(follower.events) >= 2 * len(numbers), "the last events")
        assert follower.seqs("liquidations") == numbers
        assert follower.seqs("transactions") == numbers
        assert not [event for event in follower.events if isinstance(event, Gap)]


def test_pruning_during_downtime_is_reported_as_gap(server: AppProcess) -> None:
    with following(server.ws_url, "liquidations") as follower:
        liquidate(1, 3)
        wait_until(lambda: len(follower.events) == 3, "the first events")
        server.kill()
        liquidate(4, 9)
        Liquidation.objects.filter(id__lte=6).delete()
        StreamHead.objects.filter(name="liquidations").update(floor=6)
        server.start()
        wait_until(lambda: len(follower.events) == 7, "the rest")
        gap = follower.events[3]
        assert isinstance(gap, Gap)
        assert (gap.channel, gap.missing_from, gap.missing_to) == ("liquidations", 4, 6)
        assert follower.seqs() == [1, 2, 3, 7, 8, 9]


@pytest.fixture
def forgetful_server(test_database_url: str, tmp_path: Path) -> Iterator[AppProcess]:
    with commands.running("serve", tmp_path, DATABASE_URL=test_database_url) as start:
        yield start(STREAM_SYNC_INTERVAL_SECONDS="0.1", STREAM_REPLAY_MAX="10")


def test_filtered_client_has_no_gap_after_restart(forgetful_server: AppProcess) -> None:
    """Far more facts than `since` may reach back come between two that match its filter."""
    server = forgetful_server
    with following(server.ws_url, "liquidations", coins=["ETH"]) as follower:
        liquidate(1, 1, coin="ETH")
        wait_until(lambda: follower.seqs() == [1], "the first event")
        liquidate(2, 50)
        wait_until(lambda: follower.place() == 50, "the place behind the others")
        server.kill()
        server.start()
        liquidate(51, 51, coin="ETH")
        wait_until(lambda: len(follower.events) == 2, "the next event")
        assert [type(event) for event in follower.events] == [Fact, Fact]
        assert follower.seqs() == [1, 51]


def test_client_started_first_waits_for_server(server: AppProcess) -> None:
    server.stop()
    server.launch()
    with following(server.ws_url, "liquidations", snapshot=2) as follower:
        liquidate(1, 2)
        wait_until(lambda: follower.seqs() == [0, 1, 2], "the events behind an empty snapshot")


def test_rejected_subscription_raises_and_others_continue(server: AppProcess) -> None:
    async def check() -> None:
        async with Client(server.ws_url) as client:
            await client.subscribe("liquidations")
            with pytest.raises(InvalidChannel, match="'liqudations' is not supported"):
                await client.subscribe("liqudations")
            with pytest.raises(InvalidParams, match="needs 'coins'"):
                await client.subscribe("liquidation_map")
            await asyncio.to_thread(store_one)
            assert [event.channel for event in await take(client, 1)] == ["liquidations"]

    def store_one() -> None:
        liquidate(1, 1)
        connection.close()

    asyncio.run(asyncio.wait_for(check(), 20))
