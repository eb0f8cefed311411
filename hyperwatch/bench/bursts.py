"""The worst second, and a crash of a minute with an audience: how far storing falls behind, and what it holds."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec
from django.conf import settings

from hyperwatch.bench import CannotMeasureError
from hyperwatch.bench.data.kafka_messages import KafkaMessages, PreparedMessage
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.latency import LatencyRun, consumer
from hyperwatch.bench.load.websocket_pool import WebSocketPool
from hyperwatch.bench.processes.consumer_group import members
from hyperwatch.bench.processes.server_variants import WholeHub
from hyperwatch.bench.references import plain_copy
from hyperwatch.bench.report import Figure, figure
from hyperwatch.bench.sql.cancellable_sql import CancellableSession
from hyperwatch.harness.process import Process
from realtime.kafka.producer import KafkaProducer

LOOK = 0.02
PATIENCE = 60.0


class Crash(NamedTuple):
    rate: float
    seconds: float
    clients: int


class Peak(msgspec.Struct, frozen=True, kw_only=True):
    """`took` is from the first acknowledgement to the last commit; `lag_seconds` and `lag_rows` the most that what was
    acknowledged waited to be stored; `heard` from the first acknowledgement to the last receipt of the last client.

    `memory` is the most that each process held, in bytes.
    """

    part: str
    rows: int
    stored: int
    offered_seconds: float
    took: float
    lag_seconds: float
    lag_rows: int
    memory: dict[str, int]
    clients: int = 0
    complete: int = 0
    heard: float = 0.0


class HeadWatch:
    """Looks at how many rows of the stream there are, from `with` to its end: [(moment, rows)]."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self.seen: list[tuple[float, int]] = []

    def __enter__(self) -> "HeadWatch":
        self._thread = threading.Thread(target=self._look, name="watch")
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for(self, rows: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self.seen or self.seen[-1][1] < rows:
            if time.monotonic() > deadline:
                raise CannotMeasureError(f"only {self.seen[-1:]} of {rows} rows were stored")
            time.sleep(LOOK)

    def _look(self) -> None:
        with CancellableSession(self._url) as session:
            while not self._stop.wait(LOOK):
                rows = session.value(f"SELECT coalesce(max(id), 0) FROM {plain_copy.table()}")
                self.seen.append((time.monotonic(), rows))


def worst(ground: BenchEnvironment, url: str, offers: KafkaMessages, count: int) -> Peak:
    """So many within one second."""
    ground = _on(ground, url)
    with members(ground, 1) as group, HeadWatch(url) as watch:
        _, before = _first(watch)
        group.processes[0].reset_peak_memory()
        offered, acknowledged = _offer(offers.make(count), count)
        watch.wait_for(before + count)
        memory = {"consume": _most(group.processes[0])}
    return _told(ground, _peak("worst second", watch, before, acknowledged, offered, memory))


def crash(ground: BenchEnvironment, url: str, asked: Crash) -> Peak:
    return asyncio.run(_crash(_on(ground, url), url, asked))


async def _crash(ground: BenchEnvironment, url: str, asked: Crash) -> Peak:
    hub = WholeHub(ground)
    with hub.running() as serve, consumer(ground) as consume, HeadWatch(url) as watch:
        async with WebSocketPool() as clients:
            await clients.connect(asked.clients, hub.port, subscribe=hub.subscribe)
            whole = LatencyRun(ground, clients, asked.clients, {"hub": serve, "consume": consume})
            warm = await whole.run("warm", 200, 200)
            if not warm.complete:
                raise CannotMeasureError(f"nothing comes through. The log of `consume` ends:\n{consume.log_tail()}")
            _, before = watch.seen[-1]
            for process in (serve, consume):
                process.reset_peak_memory()
            first = len(whole.load.acknowledged)
            run = await whole.run("crash", int(asked.rate * asked.seconds), asked.rate)
            await asyncio.to_thread(watch.wait_for, before + run.events)
            memory = {"consume": _most(consume), "serve": _most(serve)}
    acknowledged = whole.load.acknowledged[first : first + run.events]
    peak = _peak("crash", watch, before, acknowledged, run.offered_seconds, memory)
    heard = msgspec.structs.replace(peak, clients=run.clients, complete=run.complete, heard=run.took)
    return _told(ground, heard)


def _on(ground: BenchEnvironment, url: str) -> BenchEnvironment:
    return replace(ground, env={**ground.env, "DATABASE_URL": url})


def _most(process: Process) -> int:
    return process.memory()["VmHWM"]


def _first(watch: HeadWatch) -> tuple[float, int]:
    while not watch.seen:
        time.sleep(LOOK)
    return watch.seen[-1]


def _offer(offers: Sequence[PreparedMessage], rate: float) -> tuple[float, list[float]]:
    """Evenly; returns how long it took, and when each was acknowledged."""
    producer, acknowledged = KafkaProducer(), list[float]()
    began = due = time.monotonic()
    for offer in offers:
        while (early := due - time.monotonic()) > 0:
            producer.poll(early)
        topic = settings.KAFKA_TOPIC_COMPUTED_DATA
        producer.send(topic, offer.coin, offer.value, lambda: acknowledged.append(time.monotonic()))
        due += 1 / rate
    seconds = time.monotonic() - began
    producer.flush()
    return seconds, acknowledged


def _peak(
    part: str, watch: HeadWatch, before: int, acknowledged: Sequence[float], offered: float, memory: dict[str, int]
) -> Peak:
    known = sorted(acknowledged)
    waits = list(_waits(watch, before, known))
    return Peak(
        part=part,
        rows=len(known),
        stored=watch.seen[-1][1] - before,
        offered_seconds=offered,
        took=min(at for at, rows in watch.seen if rows - before >= len(known)) - known[0],
        lag_seconds=max(seconds for seconds, _ in waits),
        lag_rows=max(rows for _, rows in waits),
        memory=memory,
    )


def _waits(watch: HeadWatch, before: int, acknowledged: Sequence[float]) -> Iterator[tuple[float, int]]:
    """At each look: how long the first that is not stored has waited, and how many wait."""
    came = 0
    for at, rows in watch.seen:
        while came < len(acknowledged) and acknowledged[came] <= at:
            came += 1
        stored = max(0, rows - before)
        yield (at - acknowledged[stored] if stored < came else 0.0), max(0, came - stored)


def _told(ground: BenchEnvironment, peak: Peak) -> Peak:
    ground.say(
        f"{peak.part}: {peak.stored:,} of {peak.rows:,} stored after {peak.took:.1f} s, {peak.lag_seconds:.2f} s and "
        f"{peak.lag_rows:,} rows behind at most"
    )
    return peak


def figures(peaks: Sequence[Peak]) -> Iterator[Figure]:
    for part in dict.fromkeys(peak.part for peak in peaks):
        own = [peak for peak in peaks if peak.part == part]
        audience = f", {own[0].clients} clients" if own[0].clients else ""
        group = f"{part}, {own[0].rows:,} rows{audience}"
        yield figure(group, "offered in", [peak.offered_seconds for peak in own], "s")
        yield figure(group, "first ack to last row committed", [peak.took for peak in own], "s")
        yield figure(group, "longest wait to be stored", [peak.lag_seconds for peak in own], "s")
        yield figure(group, "most rows that waited", [peak.lag_rows for peak in own])
        if audience:
            yield figure(group, "first ack to last receipt", [peak.heard for peak in own], "s")
        for name in own[0].memory:
            yield figure(group, f"memory of {name}, at most", [peak.memory[name] / 2**20 for peak in own], "MB")
