import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.conf import settings
from django.db import connection

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.redis import RedisServer
from hyperwatch.tests.services import commands
from hyperwatch.tests.services.waiting import wait_until
from realtime.delivery.channel_layer import group_name
from realtime.delivery.publisher import group_message
from realtime.protocol.frames import make_event, pack
from realtime.storage.records import StoredRows

OTHER_CONNECTIONS = """SELECT pid, backend_type, application_name, backend_start, state, query FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""


@pytest.fixture(scope="session")
def test_database_url(django_db_setup: None) -> str:
    """The database that the tests write to, for a process that is to read it."""
    where = settings.DATABASES["default"]
    return f"postgres://{where['USER']}@/{where['NAME']}?host={where['HOST']}&port={where['PORT']}"


@pytest.fixture
def no_hub_connections(transactional_db: None) -> Iterator[None]:
    """At the test's end no hub reads any more: it would be in a deadlock with what empties the tables."""
    yield

    others: list[list[Any]] = []

    def is_quiet() -> bool:
        # Several times in a row: a hub that was just started may be about to connect.
        with connection.cursor() as cursor:
            cursor.execute(OTHER_CONNECTIONS)
            others.append(cursor.fetchall())
        return len(others) > 5 and not any(others[-6:])

    try:
        wait_until(is_quiet, "the hub's connection to end", 20)
    except AssertionError as error:
        raise AssertionError(f"these connections did not end: {others[-1]}") from error


@pytest.fixture(scope="session")
def web_process(test_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    folder = tmp_path_factory.mktemp("web")
    with commands.running("serve", folder, DATABASE_URL=test_database_url) as start:
        yield start(STREAM_SYNC_INTERVAL_SECONDS="0.1", STREAM_REPLAY_MAX="100000")


@pytest.fixture
def server(web_process: AppProcess) -> AppProcess:
    """A server that runs, whatever the test before did to it."""
    web_process.ensure_running()
    return web_process


@pytest.fixture
def publish(redis_server: RedisServer) -> Callable[[list[StoredRows]], None]:
    """Publishes to the hubs as the consumer does."""

    async def send(new: list[StoredRows]) -> None:
        layer = RedisPubSubChannelLayer(hosts=[{"address": redis_server.url}], prefix="hyperwatch")
        for one in new:
            for packed in pack([make_event(one.stream, row) for row in one.rows]):
                await layer.group_send(group_name(one.stream.name), group_message(one, packed))
        await layer.flush()

    return lambda new: asyncio.run(send(new))
