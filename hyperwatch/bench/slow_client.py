"""One client that never reads, while much is pushed to it and to clients that read."""

from collections.abc import Iterator

import msgspec

from hyperwatch.bench.comparison import FanoutMode, ServerUnderLoad
from hyperwatch.bench.data.event_payloads import EventPayloads
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.load.delivery_log import DeliveryLog, Percentiles, delivery_latencies, percentiles
from hyperwatch.bench.load.websocket_pool import WebSocketPool
from hyperwatch.bench.metrics import samples
from hyperwatch.bench.processes.server_variants import SERVER_TYPES, BenchServer
from hyperwatch.bench.report import Figure, Report, figure

NEIGHBOURS = 20
# Large frames fill buffers faster, and end the run of the stock server within minutes.
FRAME_BYTES = 50_000
# One message in flight: the latency of the others contains no queue of the benchmark.
WINDOW = 1
SERVERS = ("hub", "stock")


class SlowClientResult(msgspec.Struct, frozen=True, kw_only=True):
    """`memory_growth`: peak memory minus the memory before, in bytes; `waited`: latency of the others in seconds."""

    server: str
    events: int
    complete: int
    seconds: float
    memory_growth: int
    waited: Percentiles
    # How the connection of the slow client ended: at the client once it reads again, and by the server's metrics.
    client_closed: dict[str, int]
    server_closed: dict[str, float]


async def slow(environment: BenchEnvironment, megabytes: int) -> Report:
    report = environment.report("slow", megabytes=megabytes, others=NEIGHBOURS, size=FRAME_BYTES)
    runs = []
    for number in range(environment.runs):
        # One round of the stock server, which takes minutes.
        for name in SERVERS[: 1 if number else 2]:
            run = await _run(
                environment, name, megabytes // 10 if environment.is_quick and name == "stock" else megabytes
            )
            environment.log(
                f"{name}: {run.memory_growth / 2**20:.0f} MB more; slow client closed: {run.client_closed}; "
                f"by the server: {run.server_closed}"
            )
            runs.append(run)
    for name in SERVERS:
        report.figures += _figures(name, [run for run in runs if run.server == name])
    report.checks = {
        "complete": all(run.complete == NEIGHBOURS for run in runs),
        **{f"the slow one, {run.server}": run.client_closed or "still connected" for run in runs},
    }
    report.runs = runs
    return report


async def _run(environment: BenchEnvironment, name: str, megabytes: int) -> SlowClientResult:
    server = SERVER_TYPES[name](environment)
    with server.running() as process:
        async with WebSocketPool() as others, WebSocketPool() as stuck:
            await others.connect(NEIGHBOURS, server.port, subscribe=server.subscribe)
            await stuck.connect(1, server.port, subscribe=server.subscribe)
            await stuck.expect()
            await stuck.request("pause_reads", is_paused=True)
            load = ServerUnderLoad(server, others, NEIGHBOURS, environment.layer())
            mode = FanoutMode("slow", 1, WINDOW, megabytes * 1_000_000 // FRAME_BYTES * NEIGHBOURS)
            before = process.memory()["Rss"]
            process.reset_peak_memory()
            run = await load.run(mode, EventPayloads(environment.seed, FRAME_BYTES), timed=NEIGHBOURS)
            memory_growth = process.memory()["VmHWM"] - before
            await others.request("dump", folder=str(environment.folder))
            client_closed, server_closed = await _close_codes(server, stuck)
    return SlowClientResult(
        server=name,
        events=run.events,
        complete=run.complete,
        seconds=run.seconds,
        memory_growth=memory_growth,
        waited=percentiles(delivery_latencies(DeliveryLog(environment.folder, NEIGHBOURS), load.published_at)),
        client_closed=client_closed,
        server_closed=server_closed,
    )


async def _close_codes(server: BenchServer, stuck: WebSocketPool) -> tuple[dict[str, int], dict[str, float]]:
    await stuck.request("pause_reads", is_paused=False)
    status = await stuck.wait_until_idle()
    server_closed = await samples(server.url, "hyperwatch_websocket_closed_total") if server.name == "hub" else {}
    return status["closed"], server_closed


def _figures(name: str, runs: list[SlowClientResult]) -> Iterator[Figure]:
    yield figure(name, "memory grew at most by", [run.memory_growth / 2**20 for run in runs], "MB")
    for percentile in ("p50", "p99", "max"):
        values = [getattr(run.waited, percentile) * 1e3 for run in runs]
        yield figure(name, f"others' wait, {percentile}", values, "ms")
    yield figure(name, "all pushed in", [run.seconds for run in runs], "s")
