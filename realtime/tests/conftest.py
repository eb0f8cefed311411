import asyncio
from collections.abc import Callable, Iterator

import pytest
from channels_redis.pubsub import RedisPubSubChannelLayer
from django.conf import settings
from django.db import connection

from hyperwatch.tests.services import commands
from hyperwatch.tests.services.commands import Command
from hyperwatch.tests.services.redis import RedisServer
from hyperwatch.tests.services.waiting import wait_until
from realtime.frames import make_event, pack
from realtime.groups import group_of
from realtime.publishing import told
from realtime.store import Stored

BUSY = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


@pytest.fixture(scope="session")
def test_database_url(django_db_setup: None) -> str:
    """The database that the tests write to, for a process that is to read it."""
    where = settings.DATABASES["default"]
    return f"postgres://{where['USER']}@/{where['NAME']}?host={where['HOST']}&port={where['PORT']}"


@pytest.fixture
def no_hub_connections(transactional_db: None) -> Iterator[None]:
    """At the test's end no hub reads any more: it would be in a deadlock with what empties the tables."""
    yield

    quiet: list[bool] = []

    def is_quiet() -> bool:
        # Several times in a row: a hub that was just started may be about to connect.
        with connection.cursor() as cursor:
            cursor.execute(BUSY)
            quiet.append(cursor.fetchone() == (0,))
        return len(quiet) > 5 and all(quiet[-6:])

    wait_until(is_quiet, "the hub's connection to end", 20)


@pytest.fixture(scope="session")
def web_process(test_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    folder = tmp_path_factory.mktemp("web")
    with commands.running("serve", "PORT", folder, DATABASE_URL=test_database_url) as start:
        yield start(STREAM_HEADS_SECONDS="0.1", STREAM_REPLAY_MAX="100000")


@pytest.fixture
def server(web_process: Command) -> Command:
    """A server that runs, whatever the test before did to it."""
    web_process.heal()
    return web_process


@pytest.fixture
def publish(redis_server: RedisServer) -> Callable[[list[Stored]], None]:
    """Publishes to the hubs as the consumer does."""

    async def send(new: list[Stored]) -> None:
        layer = RedisPubSubChannelLayer(hosts=[{"address": redis_server.url}], prefix="hyperwatch")
        for one in new:
            for packed in pack([make_event(one.stream, row) for row in one.rows]):
                await layer.group_send(group_of(one.stream.name), told(one, packed))
        await layer.flush()

    return lambda new: asyncio.run(send(new))
