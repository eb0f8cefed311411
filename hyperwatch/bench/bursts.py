"""The worst second, and a market crash of one minute with clients: ingest lag and peak memory."""

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
from hyperwatch.bench.processes.consumer_group import run_members
from hyperwatch.bench.processes.server_variants import PipelineHubServer
from hyperwatch.bench.references import plain_copy
from hyperwatch.bench.report import Figure, figure
from hyperwatch.bench.sql.cancellable_sql import CancellableSession
from hyperwatch.harness.process import Process
from realtime.kafka.producer import KafkaProducer

POLL_INTERVAL_SECONDS = 0.02
STORE_TIMEOUT_SECONDS = 60.0


class CrashOptions(NamedTuple):
    rate: float
    seconds: float
    clients: int


class BurstResult(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds; `memory` is the peak of each process in bytes.

    took                   from the first acknowledgement to the last commit
    lag_seconds, lag_rows  peak of the acknowledged rows that were not yet stored
    received               from the first acknowledgement to the last receipt of the last client
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
    received: float = 0.0


class HeadSampler:
    """Polls the newest row id of the stream inside `with`: [(time, rows)]."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self.samples: list[tuple[float, int]] = []

    def __enter__(self) -> "HeadSampler":
        self._thread = threading.Thread(target=self._sample, name="head-sampler")
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for(self, rows: int) -> None:
        deadline = time.monotonic() + STORE_TIMEOUT_SECONDS
        while not self.samples or self.samples[-1][1] < rows:
            if time.monotonic() > deadline:
                raise CannotMeasureError(f"timeout: the last sample has {self.samples[-1:]} of {rows} stored rows")
            time.sleep(POLL_INTERVAL_SECONDS)

    def _sample(self) -> None:
        with CancellableSession(self._url) as session:
            while not self._stop.wait(POLL_INTERVAL_SECONDS):
                rows = session.value(f"SELECT coalesce(max(id), 0) FROM {plain_copy.table()}")
                self.samples.append((time.monotonic(), rows))


def worst_second(environment: BenchEnvironment, url: str, messages: KafkaMessages, count: int) -> BurstResult:
    """Produces `count` messages within one second."""
    environment = _with_database(environment, url)
    with run_members(environment, 1) as group, HeadSampler(url) as sampler:
        _, before = _first_sample(sampler)
        group.processes[0].reset_peak_memory()
        offered, acknowledged = _produce(messages.make(count), count)
        sampler.wait_for(before + count)
        memory = {"consume": _peak_memory(group.processes[0])}
    return _logged(environment, _result("worst second", sampler, before, acknowledged, offered, memory))


def crash(environment: BenchEnvironment, url: str, options: CrashOptions) -> BurstResult:
    return asyncio.run(_crash(_with_database(environment, url), url, options))


async def _crash(environment: BenchEnvironment, url: str, options: CrashOptions) -> BurstResult:
    hub = PipelineHubServer(environment)
    with hub.running() as serve, consumer(environment) as consume, HeadSampler(url) as sampler:
        async with WebSocketPool() as clients:
            await clients.connect(options.clients, hub.port, subscribe=hub.subscribe)
            pipeline = LatencyRun(environment, clients, options.clients, {"hub": serve, "consume": consume})
            warm = await pipeline.run("warm", 200, 200)
            if not warm.complete:
                raise CannotMeasureError(
                    f"the warm-up run was not complete. The log of `consume` ends:\n{consume.log_tail()}"
                )
            _, before = sampler.samples[-1]
            for process in (serve, consume):
                process.reset_peak_memory()
            first = len(pipeline.load.acknowledged)
            run = await pipeline.run("crash", int(options.rate * options.seconds), options.rate)
            await asyncio.to_thread(sampler.wait_for, before + run.events)
            memory = {"consume": _peak_memory(consume), "serve": _peak_memory(serve)}
    acknowledged = pipeline.load.acknowledged[first : first + run.events]
    result = _result("crash", sampler, before, acknowledged, run.offered_seconds, memory)
    result = msgspec.structs.replace(result, clients=run.clients, complete=run.complete, received=run.took)
    return _logged(environment, result)


def _with_database(environment: BenchEnvironment, url: str) -> BenchEnvironment:
    return replace(environment, env={**environment.env, "DATABASE_URL": url})


def _peak_memory(process: Process) -> int:
    return process.memory()["VmHWM"]


def _first_sample(sampler: HeadSampler) -> tuple[float, int]:
    while not sampler.samples:
        time.sleep(POLL_INTERVAL_SECONDS)
    return sampler.samples[-1]


def _produce(messages: Sequence[PreparedMessage], rate: float) -> tuple[float, list[float]]:
    """Sends at an even rate; returns the seconds it took and the time of each acknowledgement."""
    producer, acknowledged = KafkaProducer(), list[float]()
    started = next_send = time.monotonic()
    for message in messages:
        while (remaining := next_send - time.monotonic()) > 0:
            producer.poll(remaining)
        topic = settings.KAFKA_TOPIC_COMPUTED_DATA
        producer.send(topic, message.coin, message.value, lambda: acknowledged.append(time.monotonic()))
        next_send += 1 / rate
    seconds = time.monotonic() - started
    producer.flush()
    return seconds, acknowledged


def _result(
    part: str, sampler: HeadSampler, before: int, acknowledged: Sequence[float], offered: float, memory: dict[str, int]
) -> BurstResult:
    acknowledged_times = sorted(acknowledged)
    backlog = list(_backlog(sampler, before, acknowledged_times))
    return BurstResult(
        part=part,
        rows=len(acknowledged_times),
        stored=sampler.samples[-1][1] - before,
        offered_seconds=offered,
        took=min(at for at, rows in sampler.samples if rows - before >= len(acknowledged_times))
        - acknowledged_times[0],
        lag_seconds=max(seconds for seconds, _ in backlog),
        lag_rows=max(rows for _, rows in backlog),
        memory=memory,
    )


def _backlog(sampler: HeadSampler, before: int, acknowledged: Sequence[float]) -> Iterator[tuple[float, int]]:
    """At each sample: the age of the oldest row that is acknowledged and not stored, and the number of such rows."""
    arrived = 0
    for at, rows in sampler.samples:
        while arrived < len(acknowledged) and acknowledged[arrived] <= at:
            arrived += 1
        stored = max(0, rows - before)
        yield (at - acknowledged[stored] if stored < arrived else 0.0), max(0, arrived - stored)


def _logged(environment: BenchEnvironment, result: BurstResult) -> BurstResult:
    environment.log(
        f"{result.part}: {result.stored:,} of {result.rows:,} stored after {result.took:.1f} s, "
        f"lag at most {result.lag_seconds:.2f} s and {result.lag_rows:,} rows"
    )
    return result


def figures(results: Sequence[BurstResult]) -> Iterator[Figure]:
    for part in dict.fromkeys(result.part for result in results):
        own = [result for result in results if result.part == part]
        audience = f", {own[0].clients} clients" if own[0].clients else ""
        group = f"{part}, {own[0].rows:,} rows{audience}"
        yield figure(group, "offered in", [result.offered_seconds for result in own], "s")
        yield figure(group, "first ack to last row committed", [result.took for result in own], "s")
        yield figure(group, "longest wait to be stored", [result.lag_seconds for result in own], "s")
        yield figure(group, "most rows that waited", [result.lag_rows for result in own])
        if audience:
            yield figure(group, "first ack to last receipt", [result.received for result in own], "s")
        for name in own[0].memory:
            yield figure(group, f"memory of {name}, at most", [result.memory[name] / 2**20 for result in own], "MB")
