"""End-to-end latency: Kafka, `manage.py consume`, PostgreSQL, Redis, `manage.py serve`, clients.

It is measured from Kafka's acknowledgement to the receipt at a client, by CLOCK_MONOTONIC. `consume`, `serve` and
PostgreSQL run on the server's core; Kafka, Redis, the producer and the clients on the others.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from hyperwatch.bench import CannotMeasureError
from hyperwatch.bench.data.event_payloads import CHANNEL
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.load.delivery_log import DeliveryLog, Percentiles, percentiles
from hyperwatch.bench.load.paced_producer import PacedProducer, coin_of, number_of
from hyperwatch.bench.load.websocket_pool import WebSocketPool
from hyperwatch.bench.processes.consumer_group import run_members
from hyperwatch.bench.processes.server_variants import PipelineHubServer
from hyperwatch.bench.report import Figure, Report, figure
from hyperwatch.harness.host import server_cores
from hyperwatch.harness.process import Process

# Clients with recorded receive times; the bytes of all clients are compared.
MAX_TIMED_CLIENTS = 10
WARM_UP_SECONDS = 2.0
# Above STREAM_SYNC_INTERVAL_SECONDS (2 s), after which the hub backfills a gap.
IDLE_TIMEOUT_SECONDS = 10.0


class LatencyOptions(NamedTuple):
    rate: float
    clients: int
    seconds: float
    burst: int


class LatencyResult(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds.

    took                  from the first acknowledgement to the last receipt of the last client
    in_order              seqs are contiguous, and the events of each coin have the order of sending
    offered_seconds       to send all messages
    acknowledged_seconds  from the first to the last acknowledgement
    cpu_seconds           of `serve` and `consume`
    """

    part: str
    events: int
    clients: int
    complete: int
    in_order: bool
    frame_bytes: float
    offered_seconds: float
    acknowledged_seconds: float
    took: float
    cpu_seconds: dict[str, float]
    waited: Percentiles


async def latency(environment: BenchEnvironment, options: LatencyOptions) -> Report:
    report = environment.report("latency", **options._asdict())
    hub = PipelineHubServer(environment)
    with hub.running() as serve, consumer(environment) as consume:
        async with WebSocketPool() as clients:
            await clients.connect(options.clients, hub.port, subscribe=hub.subscribe)
            pipeline = LatencyRun(environment, clients, options.clients, {"hub": serve, "consume": consume})
            warm = await pipeline.run("warm", int(options.rate * WARM_UP_SECONDS), options.rate)
            if not warm.complete:
                raise CannotMeasureError(
                    f"the warm-up run was not complete. The log of `consume` ends:\n{consume.log_tail()}"
                )
            for _ in range(environment.runs):
                report.runs.append(await pipeline.run("steady", int(options.rate * options.seconds), options.rate))
                report.runs.append(await pipeline.run("burst", options.burst, options.burst))
    report.figures = [*_figures("steady", report.runs), *_figures("burst", report.runs)]
    report.checks = {
        "complete": all(run.complete == run.clients for run in report.runs),
        "in order": all(run.in_order for run in report.runs),
    }
    return report


@contextmanager
def consumer(environment: BenchEnvironment) -> Iterator[Process]:
    """One group member with all partitions, on the server's core."""
    with run_members(environment, 1, cores=server_cores()) as group:
        yield group.processes[0]


class LatencyRun:
    """Producer, processes and clients of the runs."""

    def __init__(
        self, environment: BenchEnvironment, clients: WebSocketPool, number: int, processes: Mapping[str, Process]
    ) -> None:
        self._environment = environment
        self._clients = clients
        self._number = number
        self.load = PacedProducer(environment.seed)
        self._timed = min(MAX_TIMED_CLIENTS, number)
        self._processes = processes

    async def run(self, part: str, count: int, rate: float) -> LatencyResult:
        first = len(self.load.acknowledged)
        await self._clients.expect(timed=self._timed)
        before = self._cpu()
        send_seconds = await asyncio.to_thread(self.load.produce, count, rate)
        status = await self._clients.wait_until_idle(IDLE_TIMEOUT_SECONDS, frames=count)
        cpu = {name: seconds - before[name] for name, seconds in self._cpu().items()}
        run = await self._result(part, range(first, first + count), send_seconds, status, cpu)
        self._environment.log(
            f"{part}: {run.complete} of {run.clients} complete, all received after {run.took:.1f} s, "
            f"p50 {run.waited.p50 * 1e3:.1f} ms, p99 {run.waited.p99 * 1e3:.1f} ms"
        )
        return run

    def _cpu(self) -> dict[str, float]:
        return {name: process.cpu_seconds for name, process in self._processes.items()}

    async def _result(
        self, part: str, sent: range, send_seconds: float, status: dict[str, Any], cpu: dict[str, float]
    ) -> LatencyResult:
        await self._clients.request("dump", folder=str(self._environment.folder))
        deliveries = DeliveryLog(self._environment.folder, self._timed)
        numbers = [number_of(frame) for frame in deliveries.payloads]
        acknowledged = self.load.acknowledged[sent.start : sent.stop]
        is_complete = sorted(numbers) == list(sent)
        return LatencyResult(
            part=part,
            events=len(sent),
            clients=self._number,
            complete=status["whole"] if is_complete else 0,
            in_order=_in_order(deliveries.payloads, numbers),
            frame_bytes=status["bytes"] / max(1, len(numbers)),
            offered_seconds=send_seconds,
            acknowledged_seconds=max(acknowledged) - min(acknowledged),
            took=status["last_at"] - min(acknowledged),
            cpu_seconds=cpu,
            waited=percentiles(self._latencies(deliveries, numbers)),
        )

    def _latencies(self, deliveries: DeliveryLog, numbers: Sequence[int]) -> list[float]:
        acknowledged = [self.load.acknowledged[number] for number in numbers]
        return [
            received - acknowledged_at
            for times in deliveries.times()
            for received, acknowledged_at in zip(times, acknowledged, strict=False)
        ] or [0.0]


class _FrameHeader(msgspec.Struct):
    seq: int
    channel: str


_decode_header = msgspec.json.Decoder(_FrameHeader).decode


def _in_order(frames: Sequence[bytes], numbers: Sequence[int]) -> bool:
    headers = [_decode_header(frame) for frame in frames]
    is_contiguous = all(after.seq == before.seq + 1 for before, after in pairwise(headers))
    numbers_by_coin: dict[bytes, list[int]] = {}
    for frame, number in zip(frames, numbers, strict=True):
        numbers_by_coin.setdefault(coin_of(frame), []).append(number)
    return (
        is_contiguous
        and all(one.channel == CHANNEL for one in headers)
        and all(c == sorted(c) for c in numbers_by_coin.values())
    )


def _figures(part: str, runs: Sequence[LatencyResult]) -> Iterator[Figure]:
    own = [run for run in runs if run.part == part]
    group = f"{part}, {own[0].events:,} events, {own[0].clients} clients"
    for percentile in ("p50", "p99", "max"):
        values = [getattr(run.waited, percentile) * 1e3 for run in own]
        yield figure(group, f"Kafka's ack to receipt, {percentile}", values, "ms")
    yield figure(group, "first ack to last ack", [run.acknowledged_seconds for run in own], "s")
    yield figure(group, "first ack to last receipt", [run.took for run in own], "s")
    for name in own[0].cpu_seconds:
        yield figure(group, f"CPU of {name}", [run.cpu_seconds[name] for run in own], "s")
    yield figure(group, "bytes a frame", [run.frame_bytes for run in own], "B")
