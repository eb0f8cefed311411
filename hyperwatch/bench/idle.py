"""What a connection costs that is subscribed and hears nothing: memory, and the time to come."""

import asyncio
from collections.abc import Iterator

import msgspec

from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.load.websocket_pool import WebSocketPool
from hyperwatch.bench.processes.server_variants import KINDS
from hyperwatch.bench.report import AtMost, Figure, Report, figure

# Those who come first bring the imports and the caches with them; they stay, or the hub would end with them.
FIRST = 10
SECONDS_TO_SETTLE = 2.0
SERVERS = ("hub", "stock")


class IdleResult(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of the whole process with the first ones only, and with `connections` more."""

    server: str
    connections: int
    seconds: float
    before: dict[str, int]
    after: dict[str, int]

    def kilobytes(self, kind: str) -> float:
        return (self.after[kind] - self.before[kind]) / self.connections / 1024


async def idle(ground: BenchEnvironment, connections: int) -> Report:
    report = ground.report("idle", connections=connections)
    runs = []
    for _ in range(ground.runs):
        for name in SERVERS:
            run = await _run(ground, name, connections)
            ground.say(f"{name}: {run.kilobytes('Pss'):.1f} KB a connection, all there in {run.seconds:.1f} s")
            runs.append(run)
    for name in SERVERS:
        report.figures += _figures(name, [run for run in runs if run.server == name])
    report.runs = runs
    return report


async def _run(ground: BenchEnvironment, name: str, connections: int) -> IdleResult:
    server = KINDS[name](ground)
    pause = SECONDS_TO_SETTLE * (0.1 if ground.is_quick else 1)
    with server.running() as process:
        async with WebSocketPool() as first, WebSocketPool() as rest:
            await first.connect(FIRST, server.port, subscribe=server.subscribe)
            await asyncio.sleep(pause)
            before = process.memory()
            seconds = await rest.connect(connections, server.port, subscribe=server.subscribe)
            await asyncio.sleep(pause)
            after = process.memory()
    return IdleResult(server=name, connections=connections, seconds=seconds, before=before, after=after)


def _figures(name: str, runs: list[IdleResult]) -> Iterator[Figure]:
    target = AtMost(30) if name == "hub" else None
    yield figure(name, "memory a connection (PSS)", [run.kilobytes("Pss") for run in runs], "KB", target)
    yield figure(name, "memory a connection (RSS)", [run.kilobytes("Rss") for run in runs], "KB")
    yield figure(name, "process before", [run.before["Pss"] / 2**20 for run in runs], "MB")
    yield figure(name, "all there after", [run.seconds for run in runs], "s")
