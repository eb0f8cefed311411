"""Fan-out: from a message of the channel layer to the sockets of many clients of one channel.

    single  one event a message, the next once all clients have the last: one frame a write
    burst   20 events a message, the next once all clients have the last
    flood   at full speed, with several messages in flight
    wallets bursts to one client, without and with many clients that subscribe to one wallet each (matching.py)

The figure is the server's CPU time per event and client: user and system, all threads.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import NamedTuple

from hyperwatch.bench.comparison import ComparisonResult, FanoutMode, ServerUnderLoad
from hyperwatch.bench.data.event_payloads import EventPayloads
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.load.websocket_pool import WebSocketPool
from hyperwatch.bench.matching import matching
from hyperwatch.bench.processes.server_variants import SERVER_TYPES
from hyperwatch.bench.report import AtLeast, AtMost, Figure, Report, figure, ratio

BATCH_MODES = [
    FanoutMode("single", 1, 1, 100_000),
    FanoutMode("burst", 20, 1, 1_000_000),
    FanoutMode("flood", 20, 8, 2_000_000),
]
MODES = {
    "hub": BATCH_MODES,
    "bare": BATCH_MODES,
    # One event a message: no bursts.
    "stock": [FanoutMode("single", 1, 1, 10_000), FanoutMode("flood", 1, 40, 10_000)],
}
MODE_NAMES = ("single", "burst", "flood", "wallets")
MANY_CLIENTS = 1_000
QUICK_SCALE = 0.002
WARM_UP_SCALE = 0.01

Metric = Callable[[ComparisonResult], float]


class FanoutOptions(NamedTuple):
    """Options of the command; `scale` makes the runs longer, for a profiler."""

    clients: list[int]
    size: int
    servers: list[str]
    modes: list[str]
    scale: float = 1.0
    wallets: int = 10_000


async def fanout(environment: BenchEnvironment, options: FanoutOptions) -> Report:
    report = environment.report("fanout", **options._asdict())
    runs = []
    for number in options.clients if set(options.modes) - {"wallets"} else []:
        results = [run async for run in _runs(environment, options, number)]
        report.figures += _figures(number, results)
        runs += results
    if "wallets" in options.modes and "hub" in options.servers:
        wallet_runs, figures = await matching(environment, options.wallets, options.size, options.scale)
        report.figures += figures
        runs += wallet_runs
    report.checks = {"complete": all(run.complete == run.clients for run in runs), "runs": len(runs)}
    report.runs = runs
    return report


async def _runs(environment: BenchEnvironment, options: FanoutOptions, number: int) -> AsyncIterator[ComparisonResult]:
    """All runs with `number` clients. Servers alternate, so a disturbance affects all of them."""
    payloads = EventPayloads(environment.seed, options.size)
    share = options.scale * (QUICK_SCALE if environment.is_quick else 1)
    async with AsyncExitStack() as stack:
        servers = {name: await _server_under_load(stack, environment, name, number) for name in options.servers}
        for name, mode in _schedule(options, 1):
            await servers[name].run(mode, payloads, share * WARM_UP_SCALE)
        for name, mode in _schedule(options, environment.runs):
            run = await servers[name].run(mode, payloads, share)
            environment.log(
                f"{number} clients, {mode.name}, {name}: {run.cpu_us:.2f} µs, {run.events_per_second:,.0f}/s"
            )
            yield run


async def _server_under_load(
    stack: AsyncExitStack, environment: BenchEnvironment, name: str, number: int
) -> ServerUnderLoad:
    server = SERVER_TYPES[name](environment)
    stack.enter_context(server.running())
    clients = await stack.enter_async_context(WebSocketPool())
    seconds = await clients.connect(number, server.port, subscribe=server.subscribe)
    environment.log(f"{name}: {number} clients connected in {seconds:.1f} s")
    return ServerUnderLoad(server, clients, number, environment.layer())


def _schedule(options: FanoutOptions, rounds: int) -> Iterator[tuple[str, FanoutMode]]:
    for mode_name in options.modes:
        for _ in range(rounds):
            for name in options.servers:
                yield from ((name, mode) for mode in MODES[name] if mode.name == mode_name)


def _figures(number: int, runs: list[ComparisonResult]) -> Iterator[Figure]:
    def values(server: str, mode: str, metric: Metric) -> list[float]:
        return [metric(run) for run in runs if (run.server, run.mode) == (server, mode)]

    for mode in ("single", "burst"):
        yield from _costs(
            f"{number} clients, {mode}", number, {name: values(name, mode, _cpu) for name in SERVER_TYPES}
        )
    single, burst = values("hub", "single", _cpu), values("hub", "burst", _cpu)
    if single and burst:
        yield ratio(f"{number} clients, burst", "of what a single one costs", burst, single, target=AtMost(0.1))
    for name in SERVER_TYPES:
        if speeds := values(name, "flood", lambda run: run.events_per_second):
            yield figure(f"{number} clients, flood", name, speeds, "events/s")
            yield figure(f"{number} clients, flood", f"{name}, CPU", values(name, "flood", _cpu), "µs/event")


def _costs(group: str, number: int, costs: dict[str, list[float]]) -> Iterator[Figure]:
    for name, values in costs.items():
        if values:
            yield figure(group, name, values, "µs/event")
    hub, bare, stock = costs["hub"], costs["bare"], costs["stock"]
    if hub and stock:
        yield ratio(group, "stock / hub", stock, hub, target=AtLeast(15 if number >= MANY_CLIENTS else 12))
    if hub and bare:
        yield ratio(group, "bare / hub", bare, hub, target=AtLeast(0.7 if "burst" in group else 0.75))


def _cpu(run: ComparisonResult) -> float:
    return run.cpu_us
