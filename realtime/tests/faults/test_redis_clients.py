"""Clients on two servers that share a Redis."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TypeVar

import pytest
from django.db import connection
from redis.exceptions import RedisError
from websockets.asyncio.client import ClientConnection, connect

from hyperwatch.tests.services import commands
from hyperwatch.tests.services.commands import Command
from hyperwatch.tests.services.postgres import Database
from hyperwatch.tests.services.redis import RedisServer
from hyperwatch.tests.services.waiting import wait_until
from liquidations.models import Liquidation
from realtime.kafka import Message
from realtime.store import Stored
from realtime.tests import builders
from realtime.tests.builders import stored
from realtime.tests.websocket_client import leaving_nothing, metric
from transactions.models import Transaction

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("nobody_reads")]

COINS = ["BTC", "ETH", "SOL", "@107"]
ROWS: dict[str, Any] = {"liquidations": Liquidation, "transactions": Transaction}
# One by which a process's connections to the database are known.
NAME = "hyperwatch-scenarios"
OF_OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()"

Publish = Callable[[list[Stored]], None]
Serve = Callable[..., Command]
T = TypeVar("T")


@pytest.fixture(scope="module")
def server(test_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """One for all; in the end nothing is left of what they did to it."""
    folder, database = tmp_path_factory.mktemp("web"), Database(test_database_url)
    with commands.running("serve", "PORT", folder, DATABASE_URL=test_database_url, PGAPPNAME=NAME) as start:
        process = start(STREAM_HEADS_SECONDS="0.1", THROTTLE_FRAMES="100000/minute")
        with leaving_nothing(process):
            yield process
        assert metric(process, "hyperwatch_subscriptions") == 0
        wait_until(lambda: database.value(OF_OURS, NAME) == 0, "the process to leave the database")


@pytest.fixture
def serve(test_database_url: str, redis_server: RedisServer, tmp_path: Path) -> Iterator[Serve]:
    """Web processes behind one Redis, which look at the heads so seldom that they have to hear."""
    env = {"DATABASE_URL": test_database_url, "REDIS_URL": redis_server.url, "STREAM_HEADS_SECONDS": "2"}
    with commands.running("serve", "PORT", tmp_path, **env) as start:
        yield start


# Facts


def fact(number: int, coin: str = "") -> list[Message]:
    """A liquidation and a transaction, told apart from others by the number."""
    coin, side = coin or COINS[number % len(COINS)], ("LONG", "SHORT")[number % 3 == 0]
    value, tid = str(number % 50 * 100), {"tid": number}
    return [
        builders.liquidation(coin=coin, side=side, liquidation_value_usd=value, raw_data=tid),
        builders.transaction(coin=coin, side=side, tx_type=("ORDER", "DEPOSIT")[number % 5 == 0], raw_data=tid),
    ]


@contextmanager
def storing(tell: Publish = lambda new: None, size: int = 1) -> Iterator[list[int]]:
    """Stores the facts 1, 2, …, so many together, while the body runs; the list has the numbers so far."""
    numbers: list[int] = []
    enough = threading.Event()

    def store() -> None:
        while not enough.wait(0.01):
            new = range(len(numbers) + 1, len(numbers) + 1 + size)
            rows = stored(*(message for number in new for message in fact(number)))
            with suppress(RedisError, OSError):
                tell(rows)
            numbers.extend(new)
        connection.close()

    writer = threading.Thread(target=store)
    writer.start()
    try:
        yield numbers
    finally:
        enough.set()
        writer.join()


async def store_all(batches: Sequence[Sequence[Message]]) -> None:
    def store() -> None:
        for batch in batches:
            stored(*batch)

    await in_thread(store)


async def in_thread(ask: Callable[..., T], *args: Any) -> T:
    """What `ask` returns, which uses the database on a connection of its own."""

    def run() -> T:
        try:
            return ask(*args)
        finally:
            connection.close()

    return await asyncio.to_thread(run)


def matching(channel: str, params: dict[str, Any]) -> list[int]:
    """The numbers of the stored facts that the params let pass."""
    rows = ROWS[channel].objects.order_by("id")
    filters = params.get("filters", {})
    if "coins" in params:
        rows = rows.filter(coin__in=params["coins"])
    if "side" in filters:
        rows = rows.filter(side=filters["side"])
    if "min_value_usd" in filters and channel == "liquidations":
        rows = rows.filter(liquidation_value_usd__gte=filters["min_value_usd"])
    if "tx_types" in params and channel == "transactions":
        rows = rows.filter(tx_type__in=params["tx_types"])
    return list(rows.values_list("id", flat=True))


# Clients


class Member:
    """One of a swarm."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, **frame: Any) -> None:
        await self.socket.send(json.dumps(frame))

    async def receive(self) -> dict[str, Any]:
        async with asyncio.timeout(20):
            frame: dict[str, Any] = json.loads(await self.socket.recv())
        assert frame["type"] not in ("error", "gap"), frame
        return frame

    async def subscribe(self, *channels: str, **params: Any) -> None:
        await self.send(type="subscribe", channels=channels, params=params)
        assert (await self.receive())["type"] == "subscribed"

    async def facts(self) -> list[tuple[int, str]]:
        """Number and channel of what comes next, which may be a batch."""
        frame = await self.receive()
        frames = frame["data"] if frame["type"] == "batch" else [frame]
        return [(one["seq"], one["channel"]) for one in frames]

    async def silent(self, seconds: float = 0.3) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.socket.recv()
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def member(url: str) -> AsyncIterator[Member]:
    async with connect(url, max_size=None, max_queue=None, compression=None) as socket:
        yield Member(socket)


async def all_of(*doing: Awaitable[Any]) -> list[Any]:
    async with asyncio.timeout(60):
        return await asyncio.gather(*doing)


# Coming and going


# Asking at random


class Stretch(NamedTuple):
    """What one subscription sent: everything behind `start` that matches, up to the last."""

    channel: str
    params: dict[str, Any]
    start: int | None
    seqs: list[int]

    @property
    def key(self) -> tuple[str, str]:
        """Channel and filter."""
        return self.channel, json.dumps({k: v for k, v in self.params.items() if k in ("coins", "filters")})

    def check(self, wanted: Sequence[int]) -> None:
        if self.seqs:
            start = self.seqs[0] - 1 if self.start is None else self.start
            assert self.seqs == [seq for seq in wanted if start < seq <= self.seqs[-1]]


async def wanted(stretch: Stretch) -> list[int]:
    return await in_thread(matching, stretch.channel, stretch.params)


# Everything to everybody

KINDS: list[dict[str, Any]] = [
    {},
    {"batch": True},
    {"coins": ["BTC"]},
    {"coins": ["@107", "ETH"], "batch": True},
    {"filters": {"side": "SHORT"}},
    {"filters": {"min_value_usd": 3_000}},
    {"coins": ["SOL"], "filters": {"side": "LONG", "min_value_usd": "1500"}},
    {"tx_types": ["DEPOSIT"], "coins": ["BTC", "SOL"]},
]


# Coming late and coming back


async def take(one: Member, got: list[int], count: int) -> None:
    """So many more numbers, or a few beyond where the last frame is a batch."""
    upto = len(got) + count
    while len(got) < upto:
        got.extend([seq for seq, _ in await one.facts()])


async def come_back(urls: Sequence[str], rng: Random, got: list[int], params: dict[str, Any], *, times: int) -> None:
    """Is cut off again and again, somewhere, and goes on behind the last that it got, on whichever server."""
    for _ in range(times):
        async with member(rng.choice(urls)) as one:
            await one.subscribe("liquidations", since=(got or [0])[-1], **params)
            await take(one, got, rng.randrange(30))
            one.socket.transport.abort()
        await asyncio.sleep(rng.random() / 5)


async def come_back_to_stay(urls: Sequence[str], got: list[int], params: dict[str, Any], due: Sequence[int]) -> None:
    async with member(urls[0]) as one:
        await one.subscribe("liquidations", since=(got or [0])[-1], **params)
        await take(one, got, len(due) - len(got))
        assert await one.silent()


def storm(urls: Sequence[str], count: int, times: int, tell: Publish = lambda new: None) -> None:
    """Clients are cut off again and again while facts are stored; in the end each has each of its own once."""
    params = [KINDS[number % 4] for number in range(count)]
    got: list[list[int]] = [[] for _ in params]

    async def swarm() -> None:
        with storing(tell, size=5):
            chances = [Random(number) for number in range(count)]
            await all_of(*(come_back(urls, *of, times=times) for of in zip(chances, got, params, strict=True)))
        due = [await in_thread(matching, "liquidations", one) for one in KINDS[:4]]
        await all_of(*(come_back_to_stay(urls, got[at], params[at], due[at % 4]) for at in range(count)))
        assert got == [due[at % 4] for at in range(count)]

    asyncio.run(swarm())


# Behind one Redis


def test_clients_that_move_between_two_servers_miss_nothing(serve: Serve, publish: Publish) -> None:
    first, second = serve(), serve()
    with leaving_nothing(first), leaving_nothing(second):
        storm([first.ws_url, second.ws_url], count=12, times=6, tell=publish)


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
            # One more: all who have what was stored so far wait for another.
            last.set_result(len(numbers) + 1)
            await store_all([fact(len(numbers) + 1)])
            assert await all_of(*following) == [[*range(1, last.result() + 1)]] * 20

    webs = [serve(), serve()]
    for web in webs:
        web.may_complain = True  # The layer logs a traceback of its own when its connection breaks.
    asyncio.run(swarm())
