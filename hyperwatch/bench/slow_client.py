"""One client that never reads, while much is pushed to it and to others who do."""

from collections.abc import Iterator

import msgspec

from hyperwatch.bench.comparison import Contender, Mode
from hyperwatch.bench.data.event_payloads import EventPayloads
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.load.delivery_log import DeliveryLog, Spread, spread, waits
from hyperwatch.bench.load.websocket_pool import WebSocketPool
from hyperwatch.bench.metrics import samples
from hyperwatch.bench.processes.server_variants import KINDS, Server
from hyperwatch.bench.report import Figure, Report, figure

OTHERS = 20
# Large ones, since it is bytes that pile up; and so that the stock server comes to an end.
FRAME_BYTES = 50_000
# The next one when the others have the last: what they wait for is one message, and not a queue of ours.
WINDOW = 1
SERVERS = ("hub", "stock")


class SlowClientResult(msgspec.Struct, frozen=True, kw_only=True):
    """`grown` is the most memory that there was beyond that before, in bytes; `waited` in seconds."""

    server: str
    events: int
    complete: int
    seconds: float
    grown: int
    waited: Spread
    # How the slow one's connection had ended, as it found when it read again, and as the server says.
    found: dict[str, int]
    said: dict[str, float]


async def slow(ground: BenchEnvironment, megabytes: int) -> Report:
    report = ground.report("slow", megabytes=megabytes, others=OTHERS, size=FRAME_BYTES)
    runs = []
    for number in range(ground.runs):
        # Once must do for the stock server, which takes minutes.
        for name in SERVERS[: 1 if number else 2]:
            run = await _run(ground, name, megabytes // 10 if ground.is_quick and name == "stock" else megabytes)
            ground.say(f"{name}: {run.grown / 2**20:.0f} MB more; the slow one: {run.found}; server: {run.said}")
            runs.append(run)
    for name in SERVERS:
        report.figures += _figures(name, [run for run in runs if run.server == name])
    report.checks = {
        "complete": all(run.complete == OTHERS for run in runs),
        **{f"the slow one, {run.server}": run.found or "still connected" for run in runs},
    }
    report.runs = runs
    return report


async def _run(ground: BenchEnvironment, name: str, megabytes: int) -> SlowClientResult:
    server = KINDS[name](ground)
    with server.running() as process:
        async with WebSocketPool() as others, WebSocketPool() as deaf:
            await others.connect(OTHERS, server.port, subscribe=server.subscribe)
            await deaf.connect(1, server.port, subscribe=server.subscribe)
            await deaf.expect()
            await deaf.ask("deaf", is_deaf=True)
            contender = Contender(server, others, OTHERS, ground.layer())
            mode = Mode("slow", 1, WINDOW, megabytes * 1_000_000 // FRAME_BYTES * OTHERS)
            before = process.memory()["Rss"]
            process.reset_peak_memory()
            run = await contender.run(mode, EventPayloads(ground.seed, FRAME_BYTES), timed=OTHERS)
            grown = process.memory()["VmHWM"] - before
            await others.ask("keep", folder=str(ground.folder))
            found, said = await _end(server, deaf)
    return SlowClientResult(
        server=name,
        events=run.events,
        complete=run.complete,
        seconds=run.seconds,
        grown=grown,
        waited=spread(waits(DeliveryLog(ground.folder, OTHERS), contender.told_at)),
        found=found,
        said=said,
    )


async def _end(server: Server, deaf: WebSocketPool) -> tuple[dict[str, int], dict[str, float]]:
    await deaf.ask("deaf", is_deaf=False)
    told = await deaf.wait_until_still()
    said = await samples(server.url, "hyperwatch_websocket_closed_total") if server.name == "hub" else {}
    return told["closed"], said


def _figures(name: str, runs: list[SlowClientResult]) -> Iterator[Figure]:
    yield figure(name, "memory grew at most by", [run.grown / 2**20 for run in runs], "MB")
    for what in ("p50", "p99", "max"):
        yield figure(name, f"others' wait, {what}", [getattr(run.waited, what) * 1e3 for run in runs], "ms")
    yield figure(name, "all pushed in", [run.seconds for run in runs], "s")
