"""Many clients at once, each doing what it likes while facts are stored; in the end every count is exact.

What each must have been sent is read from the tables. Whatever is at random is so by a seed.
"""

import asyncio
import json
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TypeVar

import pytest
from django.db import connection
from redis.exceptions import RedisError
from websockets.asyncio.client import ClientConnection, connect

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.redis import RedisServer
from hyperwatch.tests.services import commands
from hyperwatch.tests.services.waiting import wait_until
from liquidations.models import Liquidation
from ratios.models import LongShortRatio
from realtime.kafka.consumer import KafkaMessage
from realtime.storage.records import StoredRows
from realtime.tests import builders
from realtime.tests.builders import stored
from realtime.tests.rawsocket import opened, text
from realtime.tests.websocket_client import client, leaving_nothing, metric
from transactions.models import Transaction

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_hub_connections")]

COINS = ["BTC", "ETH", "SOL", "@107"]
ROWS: dict[str, Any] = {"liquidations": Liquidation, "transactions": Transaction}
# One by which a process's connections to the database are known.
NAME = "hyperwatch-scenarios"
OF_OURS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = %s AND datname = current_database()"

Publish = Callable[[list[StoredRows]], None]
Serve = Callable[..., AppProcess]
T = TypeVar("T")


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


def fact(number: int, coin: str = "") -> list[KafkaMessage]:
    """A liquidation and a transaction with this number."""
    coin, side = coin or COINS[number % len(COINS)], ("LONG", "SHORT")[number % 3 == 0]
    value, tid = str(number % 50 * 100), {"tid": number}
    return [
        builders.liquidation(coin=coin, side=side, liquidation_value_usd=value, raw_data=tid),
        builders.transaction(coin=coin, side=side, tx_type=("ORDER", "DEPOSIT")[number % 5 == 0], raw_data=tid),
    ]


@contextmanager
def storing(report: Publish = lambda new: None, size: int = 1) -> Iterator[list[int]]:
    """Stores the facts 1, 2, …, so many together, while the body runs; the list has the numbers so far."""
    numbers: list[int] = []
    enough = threading.Event()

    def store() -> None:
        while not enough.wait(0.01):
            new = range(len(numbers) + 1, len(numbers) + 1 + size)
            rows = stored(*(message for number in new for message in fact(number)))
            with suppress(RedisError, OSError):
                report(rows)
            numbers.extend(new)
        connection.close()

    writer = threading.Thread(target=store)
    writer.start()
    try:
        yield numbers
    finally:
        enough.set()
        writer.join()


async def store_all(batches: Sequence[Sequence[KafkaMessage]]) -> None:
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
        """Number and channel of the next event, which may be in a batch."""
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


def test_clients_joining_and_leaving_leave_nothing(server: AppProcess) -> None:
    rng = Random(6455)
    params: list[dict[str, Any]] = [{}, {"coins": ["BTC"]}, {"snapshot": 5}]

    async def session() -> None:
        await asyncio.sleep(rng.random() * 2)
        async with member(server.ws_url) as one:
            if rng.random() < 0.7:
                await one.subscribe(*ROWS, **rng.choice(params))
            await asyncio.sleep(rng.random())
            if rng.random() < 0.4:
                one.socket.transport.abort()

    async def churn() -> None:
        await all_of(*(session() for _ in range(200)))

    with storing() as numbers:
        asyncio.run(churn())
    assert numbers
    wait_until(lambda: metric(server, "hyperwatch_websocket_connections") == 0, "all to be gone", 15)
    assert metric(server, "hyperwatch_websocket_subscriptions") == 0


@pytest.mark.parametrize("is_watched", [False, True], ids=["by oneself", "beside another"])
def test_one_who_vanishes_while_it_subscribes_leaves_nothing(server: AppProcess, is_watched: bool) -> None:
    """By oneself the hub begins and ends with each."""
    asyncio.run(store_all([fact(number) for number in range(1, 30)]))
    params: list[dict[str, Any]] = [{}, {"snapshot": 20}, {"since": 0}, {"since": dict.fromkeys(ROWS, 2)}]
    rng = Random(is_watched)

    def vanish() -> None:
        with opened(server.port) as raw:
            chosen = rng.choice(params)
            channels = ["liquidations"] if chosen.get("since") == 0 else [*ROWS]
            raw.send(text(json.dumps({"type": "subscribe", "channels": channels, "params": chosen}).encode()))
            if rng.random() < 0.5:
                raw.next()
            raw.reset()

    with client(server.ws_url) as first:
        first.subscribe("liquidations")
        if not is_watched:
            first.socket.close()
        for _ in range(100):
            vanish()
        wait_until(lambda: metric(server, "hyperwatch_websocket_connections") == is_watched, "all to be gone", 15)
        wait_until(
            lambda: metric(server, "hyperwatch_websocket_subscriptions") == is_watched, "what they asked for to be gone"
        )
        if is_watched:
            stored(*fact(30))
            assert first.wait_for(1)[0]["seq"] == 30
    with client(server.ws_url) as last:
        last.subscribe("liquidations", since=0)
        last.wait_for(29 + is_watched)


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


FILTERS: list[dict[str, Any]] = [{}, {"coins": ["BTC"]}, {"coins": ["SOL", "ETH"]}, {"filters": {"side": "LONG"}}]
FORMS: list[dict[str, Any]] = [{}, {"batch": True}]


class Asker(Member):
    """Sends random requests, and sorts events by the latest confirmed subscription."""

    def __init__(self, socket: ClientConnection, rng: Random) -> None:
        super().__init__(socket)
        self.rng = rng
        self.current: dict[str, Stretch] = {}
        self.former: list[Stretch] = []
        self.snapshots: list[Stretch] = []
        self._pending: deque[tuple[str, list[str], dict[str, Any]]] = deque()

    async def ask_at_random(self, count: int, *, waits: bool) -> None:
        for _ in range(count):
            await self._ask()
            if waits:
                await self._answered()
                await asyncio.sleep(self.rng.random() * 0.1)
        await self._answered()

    async def read_to(self, lasts: dict[str, int]) -> None:
        """Until each channel has reached its known last event."""
        for channel, last in lasts.items():
            while (self.current[channel].seqs or [0])[-1] < last:
                self._take(await self.receive())

    async def _ask(self) -> None:
        kind = self.rng.choice(["subscribe", "subscribe", "unsubscribe"])
        channels = self.rng.sample(list(ROWS), self.rng.choice([1, 1, 2]))
        starts: list[dict[str, Any]] = [{}, {}, {"snapshot": 10}, {"since": dict.fromkeys(channels, 3)}]
        chosen = {**self.rng.choice(FILTERS), **self.rng.choice(starts), **self.rng.choice(FORMS)}
        params = chosen if kind == "subscribe" else {}
        self._pending.append((kind, channels, params))
        await self.send(type=kind, channels=channels, params=params)

    async def _answered(self) -> None:
        while self._pending:
            self._take(await self.receive())

    def _take(self, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "subscribed" | "unsubscribed":
                self._begin(frame)
            case "snapshot":
                stretch = self.current[frame["channel"]]
                assert not stretch.seqs
                self.snapshots.append(stretch._replace(start=frame["seq"], seqs=[one["seq"] for one in frame["data"]]))
                self.current[frame["channel"]] = stretch._replace(start=frame["seq"])
            case "batch":
                for one in frame["data"]:
                    self._take(one)
            case _:
                assert frame["channel"] in self.current, f"nobody wants {frame}"
                self.current[frame["channel"]].seqs.append(frame["seq"])

    def _begin(self, answer: dict[str, Any]) -> None:
        requested, channels, params = self._pending.popleft()
        assert (answer["type"], answer["channels"]) == (f"{requested}d", channels)
        for channel in channels:
            if channel in self.current:
                self.former.append(self.current.pop(channel))
            if requested == "subscribe":
                self.current[channel] = Stretch(channel, params, params.get("since", {}).get(channel), [])


@pytest.mark.parametrize("waits", [True, False], ids=["answer by answer", "without waiting"])
def test_the_last_word_counts_whatever_was_asked_before(server: AppProcess, waits: bool) -> None:
    askers: list[Asker] = []

    async def swarm() -> None:
        async with AsyncExitStack() as stack:
            for number in range(20):
                one = await stack.enter_async_context(member(server.ws_url))
                askers.append(Asker(one.socket, Random(number)))
            await store_all([fact(number) for number in range(-20, 0)])
            with storing():
                await all_of(*(asker.ask_at_random(25, waits=waits) for asker in askers))
            # Of every kind there is one more, which all can wait for.
            await store_all([fact(number) for number in range(100_000, 100_012)])
            await all_of(*(end(asker) for asker in askers))

    async def end(asker: Asker) -> None:
        await asker.read_to({name: (await wanted(stretch))[-1] for name, stretch in asker.current.items()})
        assert await asker.silent()
        await asker.send(type="get_subscriptions")
        assert (await asker.receive())["subscriptions"] == {
            name: {key: value for key, value in stretch.params.items() if key not in ("since", "snapshot")}
            for name, stretch in asker.current.items()
        }

    asyncio.run(swarm())
    due = {(name, json.dumps(params)): matching(name, params) for name in ROWS for params in FILTERS}
    for asker in askers:
        for stretch in (*asker.former, *asker.current.values()):
            stretch.check(due[stretch.key])
        for shown in asker.snapshots:
            assert shown.seqs == [seq for seq in due[shown.key] if seq <= (shown.start or 0)][-10:]
    assert sum(len(asker.former) for asker in askers) > 200
    assert sum(len(asker.snapshots) for asker in askers) > 20


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


def test_fifty_clients_get_their_own_events_in_order(server: AppProcess) -> None:
    async def follow(number: int, stored_all: asyncio.Event) -> None:
        params = KINDS[number % len(KINDS)]
        channels = ["transactions"] if "tx_types" in params else [[*ROWS], ["liquidations"]][number % 2]
        async with member(server.ws_url) as one:
            await one.subscribe(*channels, **params)
            subscribed.release()
            await stored_all.wait()
            due = {channel: await in_thread(matching, channel, params) for channel in channels}
            got: dict[str, list[int]] = {channel: [] for channel in channels}
            while sum(map(len, got.values())) < sum(map(len, due.values())):
                for seq, channel in await one.facts():
                    got[channel].append(seq)
            assert got == due
            assert await one.silent()

    async def swarm() -> None:
        stored_all = asyncio.Event()
        doing = [asyncio.ensure_future(follow(number, stored_all)) for number in range(50)]
        for _ in doing:
            await subscribed.acquire()
        pages = [range(at, at + 20) for at in range(0, 1_000, 20)]
        await store_all([[message for number in page for message in fact(number)] for page in pages])
        stored_all.set()
        await all_of(*doing)

    subscribed = asyncio.Semaphore(0)
    asyncio.run(swarm())


# Coming late and coming back


def rate(number: int) -> list[KafkaMessage]:
    minute, second = divmod(number, 60)
    return [
        *fact(number),
        builders.ratio(COINS[number % 4], f"2026-01-10T10:{minute:02}:{second:02}Z", long_accounts=number),
        # Too late to count.
        builders.ratio(COINS[number % 4], f"2026-01-09T10:{minute:02}:{second:02}Z", long_accounts=0),
    ]


def test_snapshot_and_following_events_equal_table(server: AppProcess) -> None:
    async def follow(delay: float) -> tuple[dict[int, str], dict[str, int]]:
        """The user-visible state: every liquidation by its number, and the accounts of each coin's newest ratio."""
        liquidations: dict[int, str] = {}
        ratios: dict[str, int] = {}
        await asyncio.sleep(delay)
        async with member(server.ws_url) as one:
            await one.subscribe("liquidations", "long_short_ratios", snapshot=10)
            while len(liquidations) < 1 or max(liquidations) < last or ratios.get(COINS[last % 4]) != last:
                frame = await one.receive()
                for data in frame["data"] if frame["type"] == "snapshot" else [frame["data"]]:
                    if frame["channel"] == "liquidations":
                        assert data["seq"] not in liquidations
                        liquidations[data["seq"]] = data["liquidation_value_usd"]
                    else:
                        assert data["long_accounts"] > ratios.get(data["coin"], 0)
                        ratios[data["coin"]] = data["long_accounts"]
            assert await one.silent()
        return liquidations, ratios

    async def swarm() -> list[tuple[dict[int, str], dict[str, int]]]:
        pages = [range(at, at + 3) for at in range(1, last + 1, 3)]
        storing_all = store_all([[message for number in page for message in rate(number)] for page in pages])
        return (await all_of(storing_all, *(follow(number / 10) for number in range(20))))[1:]

    last = 150
    folded = asyncio.run(swarm())
    rows = {row.id: f"{row.liquidation_value_usd:.8f}" for row in Liquidation.objects.all()}
    newest = LongShortRatio.objects.order_by("coin", "-timestamp").distinct("coin")
    assert len(rows) == last
    for liquidations, ratios in folded:
        assert liquidations == {seq: value for seq, value in rows.items() if seq >= min(liquidations)}
        assert ratios == dict(newest.values_list("coin", "long_accounts"))
    assert len({min(liquidations) for liquidations, _ in folded}) > 1


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


def storm(urls: Sequence[str], count: int, times: int, report: Publish = lambda new: None) -> None:
    """Clients are cut off again and again while facts are stored; in the end each has each of its own once."""
    params = [KINDS[number % 4] for number in range(count)]
    got: list[list[int]] = [[] for _ in params]

    async def swarm() -> None:
        with storing(report, size=5):
            chances = [Random(number) for number in range(count)]
            await all_of(*(come_back(urls, *of, times=times) for of in zip(chances, got, params, strict=True)))
        due = [await in_thread(matching, "liquidations", one) for one in KINDS[:4]]
        await all_of(*(come_back_to_stay(urls, got[at], params[at], due[at % 4]) for at in range(count)))
        assert got == [due[at % 4] for at in range(count)]

    asyncio.run(swarm())


def test_reconnecting_clients_lose_and_repeat_no_event(server: AppProcess) -> None:
    storm([server.ws_url], count=50, times=5)


# Behind one Redis
