"""Fan-out: from the channel layer's message to the client's socket, to many clients of one channel.

    single  an event a message, the next one once all clients have the last: one frame a write
    burst   20 events a message, the next one once all clients have the last
    flood   as fast as it goes: some messages are always on their way

What counts is the server's CPU time, user and system, of all its threads, for each event and client.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import NamedTuple

from hyperwatch.bench.comparison import ComparisonResult, Contender, Mode
from hyperwatch.bench.data.event_payloads import EventPayloads
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.load.websocket_pool import WebSocketPool
from hyperwatch.bench.processes.server_variants import KINDS
from hyperwatch.bench.report import AtLeast, AtMost, Figure, Report, figure, ratio

OURS = [Mode("single", 1, 1, 100_000), Mode("burst", 20, 1, 1_000_000), Mode("flood", 20, 8, 2_000_000)]
MODES = {
    "hub": OURS,
    "bare": OURS,
    # It knows no bursts.
    "stock": [Mode("single", 1, 1, 10_000), Mode("flood", 1, 40, 10_000)],
}
MODE_NAMES = ("single", "burst", "flood")
MANY = 1_000
QUICK = 0.002
WARM = 0.01

Of = Callable[[ComparisonResult], float]


class Fanout(NamedTuple):
    """What is asked for; `scale` makes the runs longer, for a profiler."""

    clients: list[int]
    size: int
    servers: list[str]
    modes: list[str]
    scale: float = 1.0


async def fanout(ground: BenchEnvironment, asked: Fanout) -> Report:
    report = ground.report("fanout", **asked._asdict())
    runs = []
    for number in asked.clients:
        found = [run async for run in _runs(ground, asked, number)]
        report.figures += _figures(number, found)
        runs += found
    report.checks = {"complete": all(run.complete == run.clients for run in runs), "runs": len(runs)}
    report.runs = runs
    return report


async def _runs(ground: BenchEnvironment, asked: Fanout, number: int) -> AsyncIterator[ComparisonResult]:
    """All runs with so many clients: the servers take turns, so that what disturbs disturbs all of them."""
    content = EventPayloads(ground.seed, asked.size)
    share = asked.scale * (QUICK if ground.is_quick else 1)
    async with AsyncExitStack() as stack:
        contenders = {name: await _contender(stack, ground, name, number) for name in asked.servers}
        for name, mode in _turns(asked, 1):
            await contenders[name].run(mode, content, share * WARM)
        for name, mode in _turns(asked, ground.runs):
            run = await contenders[name].run(mode, content, share)
            ground.say(f"{number} clients, {mode.name}, {name}: {run.cpu_us:.2f} µs, {run.events_a_second:,.0f}/s")
            yield run


async def _contender(stack: AsyncExitStack, ground: BenchEnvironment, name: str, number: int) -> Contender:
    server = KINDS[name](ground)
    stack.enter_context(server.running())
    clients = await stack.enter_async_context(WebSocketPool())
    seconds = await clients.connect(number, server.port, subscribe=server.subscribe)
    ground.say(f"{name}: {number} clients came in {seconds:.1f} s")
    return Contender(server, clients, number, ground.layer())


def _turns(asked: Fanout, rounds: int) -> Iterator[tuple[str, Mode]]:
    for wanted in asked.modes:
        for _ in range(rounds):
            for name in asked.servers:
                yield from ((name, mode) for mode in MODES[name] if mode.name == wanted)


def _figures(number: int, runs: list[ComparisonResult]) -> Iterator[Figure]:
    def values(server: str, mode: str, of: Of) -> list[float]:
        return [of(run) for run in runs if (run.server, run.mode) == (server, mode)]

    for mode in ("single", "burst"):
        yield from _costs(f"{number} clients, {mode}", number, {name: values(name, mode, _cpu) for name in KINDS})
    single, burst = values("hub", "single", _cpu), values("hub", "burst", _cpu)
    if single and burst:
        yield ratio(f"{number} clients, burst", "of what a single one costs", burst, single, target=AtMost(0.1))
    for name in KINDS:
        if speeds := values(name, "flood", lambda run: run.events_a_second):
            yield figure(f"{number} clients, flood", name, speeds, "events/s")
            yield figure(f"{number} clients, flood", f"{name}, CPU", values(name, "flood", _cpu), "µs/event")


def _costs(group: str, number: int, costs: dict[str, list[float]]) -> Iterator[Figure]:
    for name, values in costs.items():
        if values:
            yield figure(group, name, values, "µs/event")
    hub, bare, stock = costs["hub"], costs["bare"], costs["stock"]
    if hub and stock:
        yield ratio(group, "stock / hub", stock, hub, target=AtLeast(15 if number >= MANY else 12))
    if hub and bare:
        yield ratio(group, "bare / hub", bare, hub, target=AtLeast(0.7 if "burst" in group else 0.75))


def _cpu(run: ComparisonResult) -> float:
    return run.cpu_us
