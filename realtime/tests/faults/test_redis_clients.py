"""Clients on two servers that share a Redis."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.redis import RedisServer
from hyperwatch.tests.services import commands
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests.faults.test_concurrent_clients import (
    NAME,
    OF_OURS,
    Member,
    Publish,
    Serve,
    all_of,
    fact,
    member,
    store_all,
    storing,
    storm,
)
from realtime.tests.websocket_client import leaving_nothing, metric

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_hub_connections")]


@pytest.fixture(scope="module")
def server(test_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """One for all; in the end nothing is left of what they did to it."""
    folder, database = tmp_path_factory.mktemp("web"), Database(test_database_url)
    with commands.running("serve", folder, DATABASE_URL=test_database_url, PGAPPNAME=NAME) as start:
        process = start(STREAM_SYNC_INTERVAL_SECONDS="0.1", WEBSOCKET_MESSAGE_RATE="100000/minute")
        with leaving_nothing(process):
            yield process
        assert metric(process, "hyperwatch_websocket_subscriptions") == 0
        wait_until(lambda: database.value(OF_OURS, NAME) == 0, "the process to leave the database")


@pytest.fixture
def serve(test_database_url: str, redis_server: RedisServer, tmp_path: Path) -> Iterator[Serve]:
    """Web processes behind one Redis, which poll the heads so rarely that they depend on it."""
    env = {"DATABASE_URL": test_database_url, "REDIS_URL": redis_server.url, "STREAM_SYNC_INTERVAL_SECONDS": "2"}
    with commands.running("serve", tmp_path, **env) as start:
        yield start


# Facts


# Clients


# Coming and going


# Asking at random


# Everything to everybody


# Coming late and coming back


# Behind one Redis


def test_clients_that_move_between_two_servers_miss_nothing(serve: Serve, publish: Publish) -> None:
    first, second = serve(), serve()
    with leaving_nothing(first), leaving_nothing(second):
        storm([first.ws_url, second.ws_url], count=12, times=6, report=publish)


def test_redis_restart_under_load_loses_no_event(serve: Serve, publish: Publish, redis_server: RedisServer) -> None:
    async def follow(one: Member, last: asyncio.Future[int]) -> list[int]:
        got: list[int] = []
        while not last.done() or len(got) < last.result():
            got.extend([seq for seq, _ in await one.facts()])
        return got

    async def swarm() -> None:
        async with AsyncExitStack() as stack:
            members = [await stack.enter_async_context(member(web.ws_url)) for web in webs for _ in range(10)]
            for one in members:
                await one.subscribe("liquidations")
            last: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            following = [asyncio.ensure_future(follow(one, last)) for one in members]
            with storing(publish) as numbers:
                await asyncio.sleep(0.5)
                await asyncio.to_thread(redis_server.restart)
                await asyncio.sleep(2)
            # One more: every client that is up to date waits for another event.
            last.set_result(len(numbers) + 1)
            await store_all([fact(len(numbers) + 1)])
            assert await all_of(*following) == [[*range(1, last.result() + 1)]] * 20

    webs = [serve(), serve()]
    for web in webs:
        web.allows_traceback = True  # The layer logs a traceback of its own when its connection breaks.
    asyncio.run(swarm())
