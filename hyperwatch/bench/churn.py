"""Many clients connect and disconnect at once, while other clients receive a steady stream."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import msgspec

from hyperwatch.bench.data.event_payloads import CHANNEL, EventPayloads
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.load.background_events import BackgroundEvents
from hyperwatch.bench.load.delivery_log import DeliveryLog, Percentiles, percentiles
from hyperwatch.bench.load.websocket_pool import WebSocketPool
from hyperwatch.bench.metrics import samples
from hyperwatch.bench.processes.server_variants import HubServer
from hyperwatch.bench.report import Figure, Report, figure

NEIGHBOURS = 5
RATE = 100.0
FRAME_BYTES = 600
DISCONNECT_TIMEOUT_SECONDS = 60.0
# On the channel of the neighbours, filtered by a coin without events.
CROWD_SUBSCRIBE = f'{{"type": "subscribe", "channels": ["{CHANNEL}"], "params": {{"coins": ["NONE"]}}}}'


class ChurnResult(msgspec.Struct, frozen=True, kw_only=True):
    """`waited`: seconds from publishing to receipt at the neighbours, by the phase in which it was published."""

    connect_seconds: float
    disconnect_seconds: float
    events: int
    complete: int
    waited: dict[str, Percentiles]


class PhaseLog:
    """Start times of the phases of a round."""

    def __init__(self) -> None:
        self._started: list[tuple[float, str]] = []

    def begin(self, name: str) -> None:
        self._started.append((time.monotonic(), name))

    def at(self, moment: float) -> str:
        return next(name for started, name in reversed(self._started) if started <= moment)


async def churn(environment: BenchEnvironment, clients: int) -> Report:
    report = environment.report("churn", clients=clients, neighbours=NEIGHBOURS, rate=RATE, size=FRAME_BYTES)
    server = HubServer(environment)
    with server.running():
        steady = BackgroundEvents(server, EventPayloads(environment.seed, FRAME_BYTES), environment.layer(), RATE)
        async with WebSocketPool() as neighbours, WebSocketPool() as crowd:
            await neighbours.connect(NEIGHBOURS, server.port, subscribe=server.subscribe)
            for _ in range(environment.runs):
                run = await ChurnRound(environment, server, steady, neighbours, crowd).run(clients)
                environment.log(
                    f"{clients} clients: connected in {run.connect_seconds:.1f} s, "
                    f"disconnected in {run.disconnect_seconds:.1f} s"
                )
                report.runs.append(run)
    report.figures = list(_figures(report.runs))
    report.checks = {"complete": all(run.complete == NEIGHBOURS for run in report.runs)}
    return report


class ChurnRound:
    def __init__(
        self,
        environment: BenchEnvironment,
        server: HubServer,
        steady: BackgroundEvents,
        neighbours: WebSocketPool,
        crowd: WebSocketPool,
    ) -> None:
        self._environment = environment
        self._server = server
        self._steady = steady
        self._neighbours = neighbours
        self._crowd = crowd
        self._phases = PhaseLog()

    async def run(self, clients: int) -> ChurnResult:
        pause = 0.5 if self._environment.is_quick else 3.0
        await self._neighbours.expect(timed=NEIGHBOURS)
        self._phases.begin("quiet")
        async with self._stream():
            await asyncio.sleep(pause)
            self._phases.begin("coming")
            connect_seconds = await self._crowd.connect(
                clients, self._server.port, subscribe=CROWD_SUBSCRIBE, max_connecting=clients
            )
            self._phases.begin("there")
            await asyncio.sleep(pause)
            self._phases.begin("leaving")
            disconnect_seconds = await self._disconnect_crowd()
            self._phases.begin("gone")
        complete = await self._complete_neighbours()
        return ChurnResult(
            connect_seconds=connect_seconds,
            disconnect_seconds=disconnect_seconds,
            events=len(self._steady.published_at),
            complete=complete,
            waited=await self._latencies(),
        )

    @asynccontextmanager
    async def _stream(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._steady.publish_until(stop))
            yield
            stop.set()

    async def _disconnect_crowd(self) -> float:
        """Seconds until the server has closed all of their connections."""
        started = time.monotonic()
        await self._crowd.request("disconnect")
        async with asyncio.timeout(DISCONNECT_TIMEOUT_SECONDS):
            while await self._connections() > NEIGHBOURS:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return time.monotonic() - started

    async def _connections(self) -> float:
        return sum((await samples(self._server.url, "hyperwatch_websocket_connections")).values())

    async def _complete_neighbours(self) -> int:
        status = await self._neighbours.wait_until_idle()
        return int(status["whole"]) if self._neighbours.has_received(status, self._steady.wire_bytes) else 0

    async def _latencies(self) -> dict[str, Percentiles]:
        await self._neighbours.request("dump", folder=str(self._environment.folder))
        latencies: dict[str, list[float]] = {}
        for times in DeliveryLog(self._environment.folder, NEIGHBOURS).times():
            for published, received in zip(self._steady.published_at, times, strict=False):
                latencies.setdefault(self._phases.at(published), []).append(received - published)
        return {phase: percentiles(values) for phase, values in latencies.items()}


def _figures(runs: list[ChurnResult]) -> Iterator[Figure]:
    yield figure("the crowd", "all there after", [run.connect_seconds for run in runs], "s")
    yield figure("the crowd", "all gone after", [run.disconnect_seconds for run in runs], "s")
    for phase in ("quiet", "coming", "there", "leaving"):
        # A phase can be too short for an event.
        measured = [run.waited[phase] for run in runs if phase in run.waited]
        for percentile in ("p50", "p99", "max") if measured else ():
            values = [getattr(waited, percentile) * 1e3 for waited in measured]
            yield figure(f"neighbours' wait, {phase}", percentile, values, "ms")
