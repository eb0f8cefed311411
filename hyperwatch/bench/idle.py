"""Cost of a subscribed connection without events: memory, and time to connect."""

import asyncio
from collections.abc import Iterator

import msgspec

from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.load.websocket_pool import WebSocketPool
from hyperwatch.bench.processes.server_variants import SERVER_TYPES
from hyperwatch.bench.report import AtMost, Figure, Report, figure

# The first connections cause imports and fill caches. They stay open: without clients the hub stops.
WARM_UP_CONNECTIONS = 10
SETTLE_SECONDS = 2.0
SERVERS = ("hub", "stock")


class IdleResult(msgspec.Struct, frozen=True, kw_only=True):
    """Memory of the process in bytes: with the first connections, and with `connections` more."""

    server: str
    connections: int
    seconds: float
    before: dict[str, int]
    after: dict[str, int]

    def kilobytes(self, kind: str) -> float:
        return (self.after[kind] - self.before[kind]) / self.connections / 1024


async def idle(environment: BenchEnvironment, connections: int) -> Report:
    report = environment.report("idle", connections=connections)
    runs = []
    for _ in range(environment.runs):
        for name in SERVERS:
            run = await _run(environment, name, connections)
            environment.log(f"{name}: {run.kilobytes('Pss'):.1f} KB a connection, all connected in {run.seconds:.1f} s")
            runs.append(run)
    for name in SERVERS:
        report.figures += _figures(name, [run for run in runs if run.server == name])
    report.runs = runs
    return report


async def _run(environment: BenchEnvironment, name: str, connections: int) -> IdleResult:
    server = SERVER_TYPES[name](environment)
    settle_seconds = SETTLE_SECONDS * (0.1 if environment.is_quick else 1)
    with server.running() as process:
        async with WebSocketPool() as first, WebSocketPool() as rest:
            await first.connect(WARM_UP_CONNECTIONS, server.port, subscribe=server.subscribe)
            await asyncio.sleep(settle_seconds)
            before = process.memory()
            seconds = await rest.connect(connections, server.port, subscribe=server.subscribe)
            await asyncio.sleep(settle_seconds)
            after = process.memory()
    return IdleResult(server=name, connections=connections, seconds=seconds, before=before, after=after)


def _figures(name: str, runs: list[IdleResult]) -> Iterator[Figure]:
    target = AtMost(30) if name == "hub" else None
    yield figure(name, "memory a connection (PSS)", [run.kilobytes("Pss") for run in runs], "KB", target)
    yield figure(name, "memory a connection (RSS)", [run.kilobytes("Rss") for run in runs], "KB")
    yield figure(name, "process before", [run.before["Pss"] / 2**20 for run in runs], "MB")
    yield figure(name, "all there after", [run.seconds for run in runs], "s")
