"""Requests a second on one core, while the stream goes on: the answers that are asked for most beside mere bytes of
the same size, and a filtered list beside one that DRF makes alone.

A server has its core to itself; clients, PostgreSQL, Kafka and `consume` share the others.
"""

import urllib.request
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from itertools import cycle, repeat

import msgspec

from hyperwatch.bench.data import distributions
from hyperwatch.bench.data.stream_recipes import RECIPES
from hyperwatch.bench.data.table_fill import fill
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.load.background_ingest import trickle
from hyperwatch.bench.load.http_clients import HttpLoad
from hyperwatch.bench.report import AtLeast, Figure, figure, ratio
from hyperwatch.bench.sql.cancellable_sql import CancellableSession
from hyperwatch.bench.sql.explain_plans import NO_THROTTLE
from hyperwatch.harness.app_process import AppProcess, manage
from hyperwatch.harness.host import server_cores

HOT = {
    "recent": "/api/v1/liquidations/recent?limit=50",
    "current": "/api/v1/long-short-ratios/current",
    "liquidation-map": "/api/v1/liquidation-map?coin=C001",
    "stats": "/api/v1/liquidations/stats",
    "activities": "/api/v1/whales/1/activities",
}
ROWS = "coin={coin}&side=LONG&page_size=100"
# Ours, and the same of the reference, whose walk begins where no cursor is given.
FILTERED = (
    ("page", f"/api/v1/liquidations?{ROWS}&page=1", f"/paged?{ROWS}&page=1"),
    ("cursor", f"/api/v1/liquidations?{ROWS}&cursor=", f"/walked?{ROWS}"),
)
CLIENTS = 8
SECONDS, QUICK_SECONDS = 4.0, 0.3
GROUPS = ("hot", "filtered")


class CachedResult(msgspec.Struct, frozen=True, kw_only=True):
    """`size` is an answer's in bytes; the processor's seconds are the server's."""

    server: str
    answer: str
    size: int
    requests: int
    seconds: float
    cpu_seconds: float

    @property
    def a_second(self) -> float:
        return self.requests / self.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu_seconds / self.requests * 1e6


def hot(ground: BenchEnvironment, size: int, groups: Collection[str]) -> Iterator[CachedResult]:
    """On the ground's own database, which grows meanwhile."""
    fill(ground.env["DATABASE_URL"], size, RECIPES, ground.seed, ground.say)
    with ExitStack() as stack:
        sites = {name: _site(ground, stack, name) for name in ("ours", "bare", "drf")}
        stack.enter_context(trickle(ground))
        for _ in range(ground.runs):
            if "hot" in groups:
                yield from _hot(ground, sites)
            if "filtered" in groups:
                yield from _filtered(ground, sites)


def grown(ground: BenchEnvironment, size: int) -> int:
    """The rows that the stream brought meanwhile."""
    with CancellableSession(ground.env["DATABASE_URL"]) as session:
        return int(session.value("SELECT head FROM streams WHERE name = 'liquidations'")) - size


def _site(ground: BenchEnvironment, stack: ExitStack, name: str) -> AppProcess:
    arguments = (
        manage("serve") if name == "ours" else ("-m", "hyperwatch.bench.processes.django_entry", f"plain.{name}")
    )
    env = {**ground.env, "THROTTLE_READS": NO_THROTTLE}
    return stack.enter_context(AppProcess(name, ground.folder, env, arguments, cores=server_cores()))


def _hot(ground: BenchEnvironment, sites: dict[str, AppProcess]) -> Iterator[CachedResult]:
    for answer, url in HOT.items():
        ours = _press(ground, sites["ours"], answer, repeat(url))
        yield ours
        yield _press(ground, sites["bare"], answer, repeat(f"/bytes/{ours.size}"))


def _filtered(ground: BenchEnvironment, sites: dict[str, AppProcess]) -> Iterator[CachedResult]:
    for answer, ours, reference in FILTERED:
        for server, path in (("ours", ours), ("drf", reference)):
            urls = cycle([path.format(coin=distributions.coin(number)) for number in (1, 2, 3)])
            yield _press(ground, sites[server], answer, urls)


def _press(ground: BenchEnvironment, site: AppProcess, answer: str, urls: Iterator[str]) -> CachedResult:
    with urllib.request.urlopen(f"http://127.0.0.1:{site.port}{next(urls)}", timeout=60) as once:
        size = len(once.read())
    pressing = HttpLoad(site.port, CLIENTS, urls)
    seconds = QUICK_SECONDS if ground.is_quick else SECONDS
    pressing.run(seconds / 4)
    before = site.cpu_seconds
    pressed = pressing.run(seconds)
    run = CachedResult(
        server=site.name,
        answer=answer,
        size=size,
        requests=pressed.answers,
        seconds=pressed.seconds,
        cpu_seconds=site.cpu_seconds - before,
    )
    ground.say(f"{run.answer}, {run.server}: {run.a_second:,.0f} requests/s, {run.cpu_us:,.0f} µs, {run.size:,} bytes")
    return run


def figures(runs: Sequence[CachedResult]) -> Iterator[Figure]:
    for answer in HOT:
        yield from _beside(f"hot, {answer}", answer, runs, "bare", "bytes without middleware", 0.5)
    for answer, *_ in FILTERED:
        yield from _beside(f"100 filtered rows by {answer}", answer, runs, "drf", "DRF alone", 5)


def _beside(
    group: str, answer: str, runs: Sequence[CachedResult], reference: str, called: str, least: float
) -> Iterator[Figure]:
    ours, theirs = ([run for run in runs if (run.answer, run.server) == (answer, of)] for of in ("ours", reference))
    if not ours:
        return
    for name, own in (("ours", ours), (called, theirs)):
        yield figure(group, name, [run.a_second for run in own], "requests/s")
        yield figure(group, f"{name}: the server's CPU", [run.cpu_us for run in own], "µs/request")
    above, below = [run.a_second for run in ours], [run.a_second for run in theirs]
    yield ratio(group, f"ours / {called}", above, below, target=AtLeast(least))
