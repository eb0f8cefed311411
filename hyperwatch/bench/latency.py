"""The whole way: Kafka, `manage.py consume`, PostgreSQL, Redis, `manage.py serve`, the clients.

Latency is from Kafka's acknowledgement to a client's receipt, both by the clock that all processes share. Our
processes and PostgreSQL are on the server's core; Kafka, Redis, the producer and the clients are on the others.
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
from hyperwatch.bench.load.delivery_log import DeliveryLog, Spread, spread
from hyperwatch.bench.load.paced_producer import PacedProducer, coin_of, number_of
from hyperwatch.bench.load.websocket_pool import WebSocketPool
from hyperwatch.bench.processes.consumer_group import members
from hyperwatch.bench.processes.server_variants import WholeHub
from hyperwatch.bench.report import Figure, Report, figure
from hyperwatch.harness.host import server_cores
from hyperwatch.harness.process import Process

# Clients whose receipts are timed; all of them are compared.
SAMPLED = 10
WARM_SECONDS = 2.0
# The heads are looked at every other second: by then a hole is mended.
PATIENCE = 10.0


class Latency(NamedTuple):
    rate: float
    clients: int
    seconds: float
    burst: int


class LatencyResult(msgspec.Struct, frozen=True, kw_only=True):
    """`took` is from the first acknowledgement to the last receipt of the last client, in seconds.

    in_order        the stream's numbers without a hole, and each coin's events as they were sent
    offered_seconds that sending took, `acknowledged_seconds` until the last acknowledgement
    cpu_seconds     of the processes of ours
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
    waited: Spread


async def latency(ground: BenchEnvironment, asked: Latency) -> Report:
    report = ground.report("latency", **asked._asdict())
    hub = WholeHub(ground)
    with hub.running() as serve, consumer(ground) as consume:
        async with WebSocketPool() as clients:
            await clients.connect(asked.clients, hub.port, subscribe=hub.subscribe)
            whole = LatencyRun(ground, clients, asked.clients, {"hub": serve, "consume": consume})
            warm = await whole.run("warm", int(asked.rate * WARM_SECONDS), asked.rate)
            if not warm.complete:
                raise CannotMeasureError(f"nothing comes through. The log of `consume` ends:\n{consume.log_tail()}")
            for _ in range(ground.runs):
                report.runs.append(await whole.run("steady", int(asked.rate * asked.seconds), asked.rate))
                report.runs.append(await whole.run("burst", asked.burst, asked.burst))
    report.figures = [*_figures("steady", report.runs), *_figures("burst", report.runs)]
    report.checks = {
        "complete": all(run.complete == run.clients for run in report.runs),
        "in order": all(run.in_order for run in report.runs),
    }
    return report


@contextmanager
def consumer(ground: BenchEnvironment) -> Iterator[Process]:
    """With all partitions, on the server's core."""
    with members(ground, 1, cores=server_cores()) as group:
        yield group.processes[0]


class LatencyRun:
    """The way and its two ends."""

    def __init__(
        self, ground: BenchEnvironment, clients: WebSocketPool, number: int, processes: Mapping[str, Process]
    ) -> None:
        self._ground = ground
        self._clients = clients
        self._number = number
        self.load = PacedProducer(ground.seed)
        self._sampled = min(SAMPLED, number)
        self._processes = processes

    async def run(self, part: str, count: int, rate: float) -> LatencyResult:
        first = len(self.load.acknowledged)
        await self._clients.expect(timed=self._sampled)
        before = self._cpu()
        offered = await asyncio.to_thread(self.load.offer, count, rate)
        told = await self._clients.wait_until_still(PATIENCE, frames=count)
        cpu = {name: seconds - before[name] for name, seconds in self._cpu().items()}
        run = await self._outcome(part, range(first, first + count), offered, told, cpu)
        self._ground.say(
            f"{part}: {run.complete} of {run.clients} complete, all there after {run.took:.1f} s, "
            f"p50 {run.waited.p50 * 1e3:.1f} ms, p99 {run.waited.p99 * 1e3:.1f} ms"
        )
        return run

    def _cpu(self) -> dict[str, float]:
        return {name: process.cpu_seconds for name, process in self._processes.items()}

    async def _outcome(
        self, part: str, sent: range, offered: float, told: dict[str, Any], cpu: dict[str, float]
    ) -> LatencyResult:
        await self._clients.ask("keep", folder=str(self._ground.folder))
        receipts = DeliveryLog(self._ground.folder, self._sampled)
        numbers = [number_of(frame) for frame in receipts.payloads]
        acknowledged = self.load.acknowledged[sent.start : sent.stop]
        is_all = sorted(numbers) == list(sent)
        return LatencyResult(
            part=part,
            events=len(sent),
            clients=self._number,
            complete=told["whole"] if is_all else 0,
            in_order=_in_order(receipts.payloads, numbers),
            frame_bytes=told["bytes"] / max(1, len(numbers)),
            offered_seconds=offered,
            acknowledged_seconds=max(acknowledged) - min(acknowledged),
            took=told["last_at"] - min(acknowledged),
            cpu_seconds=cpu,
            waited=spread(self._waits(receipts, numbers)),
        )

    def _waits(self, receipts: DeliveryLog, numbers: Sequence[int]) -> list[float]:
        acknowledged = [self.load.acknowledged[number] for number in numbers]
        return [got - known for times in receipts.times() for got, known in zip(times, acknowledged, strict=False)] or [
            0.0
        ]


class _Numbered(msgspec.Struct):
    seq: int
    channel: str


_read = msgspec.json.Decoder(_Numbered).decode


def _in_order(frames: Sequence[bytes], numbers: Sequence[int]) -> bool:
    read = [_read(frame) for frame in frames]
    follows = all(after.seq == before.seq + 1 for before, after in pairwise(read))
    of_coins: dict[bytes, list[int]] = {}
    for frame, number in zip(frames, numbers, strict=True):
        of_coins.setdefault(coin_of(frame), []).append(number)
    return follows and all(one.channel == CHANNEL for one in read) and all(c == sorted(c) for c in of_coins.values())


def _figures(part: str, runs: Sequence[LatencyResult]) -> Iterator[Figure]:
    own = [run for run in runs if run.part == part]
    group = f"{part}, {own[0].events:,} events, {own[0].clients} clients"
    for what in ("p50", "p99", "max"):
        yield figure(group, f"Kafka's ack to receipt, {what}", [getattr(run.waited, what) * 1e3 for run in own], "ms")
    yield figure(group, "first ack to last ack", [run.acknowledged_seconds for run in own], "s")
    yield figure(group, "first ack to last receipt", [run.took for run in own], "s")
    for name in own[0].cpu_seconds:
        yield figure(group, f"CPU of {name}", [run.cpu_seconds[name] for run in own], "s")
    yield figure(group, "bytes a frame", [run.frame_bytes for run in own], "B")
