"""A crowd comes at once and leaves at once, while neighbours receive a steady stream."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import msgspec

from hyperwatch.bench.data.event_payloads import CHANNEL, EventPayloads
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.load.background_events import BackgroundEvents
from hyperwatch.bench.load.delivery_log import DeliveryLog, Spread, spread
from hyperwatch.bench.load.websocket_pool import WebSocketPool
from hyperwatch.bench.metrics import samples
from hyperwatch.bench.processes.server_variants import HubServer
from hyperwatch.bench.report import Figure, Report, figure

NEIGHBOURS = 5
RATE = 100.0
FRAME_BYTES = 600
PATIENCE = 60.0
# On the neighbours' channel, but for a coin of which nothing comes.
CROWD = f'{{"type": "subscribe", "channels": ["{CHANNEL}"], "params": {{"coins": ["NOBODY"]}}}}'


class ChurnResult(msgspec.Struct, frozen=True, kw_only=True):
    """`waited` are the neighbours' seconds from publishing to receipt, by what went on when it was published."""

    came: float
    gone: float
    events: int
    complete: int
    waited: dict[str, Spread]


class Phases:
    """What went on when."""

    def __init__(self) -> None:
        self._begun: list[tuple[float, str]] = []

    def begin(self, name: str) -> None:
        self._begun.append((time.monotonic(), name))

    def at(self, moment: float) -> str:
        return next(name for began, name in reversed(self._begun) if began <= moment)


async def churn(ground: BenchEnvironment, clients: int) -> Report:
    report = ground.report("churn", clients=clients, neighbours=NEIGHBOURS, rate=RATE, size=FRAME_BYTES)
    server = HubServer(ground)
    with server.running():
        steady = BackgroundEvents(server, EventPayloads(ground.seed, FRAME_BYTES), ground.layer(), RATE)
        async with WebSocketPool() as neighbours, WebSocketPool() as crowd:
            await neighbours.connect(NEIGHBOURS, server.port, subscribe=server.subscribe)
            for _ in range(ground.runs):
                run = await ChurnRound(ground, server, steady, neighbours, crowd).run(clients)
                ground.say(f"{clients} came in {run.came:.1f} s, had gone after {run.gone:.1f} s")
                report.runs.append(run)
    report.figures = list(_figures(report.runs))
    report.checks = {"complete": all(run.complete == NEIGHBOURS for run in report.runs)}
    return report


class ChurnRound:
    def __init__(
        self,
        ground: BenchEnvironment,
        server: HubServer,
        steady: BackgroundEvents,
        neighbours: WebSocketPool,
        crowd: WebSocketPool,
    ) -> None:
        self._ground = ground
        self._server = server
        self._steady = steady
        self._neighbours = neighbours
        self._crowd = crowd
        self._phases = Phases()

    async def run(self, clients: int) -> ChurnResult:
        pause = 0.5 if self._ground.is_quick else 3.0
        await self._neighbours.expect(timed=NEIGHBOURS)
        self._phases.begin("quiet")
        async with self._stream():
            await asyncio.sleep(pause)
            self._phases.begin("coming")
            came = await self._crowd.connect(clients, self._server.port, subscribe=CROWD, at_once=clients)
            self._phases.begin("there")
            await asyncio.sleep(pause)
            self._phases.begin("leaving")
            gone = await self._leave()
            self._phases.begin("gone")
        complete = await self._complete()
        return ChurnResult(
            came=came, gone=gone, events=len(self._steady.told_at), complete=complete, waited=await self._waited()
        )

    @asynccontextmanager
    async def _stream(self) -> AsyncIterator[None]:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._steady.flow(stop))
            yield
            stop.set()

    async def _leave(self) -> float:
        """Seconds until the server knows that they have gone."""
        began = time.monotonic()
        await self._crowd.ask("leave")
        async with asyncio.timeout(PATIENCE):
            while await self._connections() > NEIGHBOURS:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def _connections(self) -> float:
        return sum((await samples(self._server.url, "hyperwatch_websocket_connections")).values())

    async def _complete(self) -> int:
        told = await self._neighbours.wait_until_still()
        return int(told["whole"]) if self._neighbours.got(told, self._steady.wire) else 0

    async def _waited(self) -> dict[str, Spread]:
        await self._neighbours.ask("keep", folder=str(self._ground.folder))
        waited: dict[str, list[float]] = {}
        for times in DeliveryLog(self._ground.folder, NEIGHBOURS).times():
            for told, got in zip(self._steady.told_at, times, strict=False):
                waited.setdefault(self._phases.at(told), []).append(got - told)
        return {phase: spread(values) for phase, values in waited.items()}


def _figures(runs: list[ChurnResult]) -> Iterator[Figure]:
    yield figure("the crowd", "all there after", [run.came for run in runs], "s")
    yield figure("the crowd", "all gone after", [run.gone for run in runs], "s")
    for phase in ("quiet", "coming", "there", "leaving"):
        # Where they leave in no time, nothing was published meanwhile.
        known = [run.waited[phase] for run in runs if phase in run.waited]
        for what in ("p50", "p99", "max") if known else ():
            values = [getattr(waited, what) * 1e3 for waited in known]
            yield figure(f"neighbours' wait, {phase}", what, values, "ms")
