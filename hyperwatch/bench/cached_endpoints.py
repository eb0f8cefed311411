"""Requests a second on one core during background ingest.

Cached responses are compared with static bytes of the same size, filtered lists with a plain DRF view.
The server has a core of its own; clients, PostgreSQL, Kafka and `consume` share the others.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from itertools import cycle, repeat

import msgspec

from hyperwatch.bench.data import distributions
from hyperwatch.bench.data.stream_recipes import RECIPES
from hyperwatch.bench.data.table_fill import fill
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.load.background_ingest import background_ingest
from hyperwatch.bench.load.http_clients import HttpLoad
from hyperwatch.bench.report import AtLeast, Figure, figure, ratio
from hyperwatch.bench.sql.cancellable_sql import CancellableSession
from hyperwatch.bench.sql.explain_plans import NO_THROTTLE
from hyperwatch.harness.app_process import AppProcess, manage
from hyperwatch.harness.host import server_cores
from hyperwatch.harness.local_http import open_local

CACHED_URLS = {
    "recent": "/api/v1/liquidations/recent?limit=50",
    "current": "/api/v1/long-short-ratios/current",
    "liquidation-map": "/api/v1/liquidation-map?coin=C001",
    "stats": "/api/v1/liquidations/stats",
    "activities": "/api/v1/whales/1/activities",
}
ROWS = "coin={coin}&side=LONG&page_size=100"
# (name, own URL, URL of the reference). The reference starts its cursor pagination without a cursor.
FILTERED_URLS = (
    ("page", f"/api/v1/liquidations?{ROWS}&page=1", f"/pages?{ROWS}&page=1"),
    ("cursor", f"/api/v1/liquidations?{ROWS}&cursor=", f"/cursor?{ROWS}"),
)
CLIENTS = 8
SECONDS, QUICK_SECONDS = 4.0, 0.3
GROUPS = ("hot", "filtered")


class CachedResult(msgspec.Struct, frozen=True, kw_only=True):
    """`size` is that of a response in bytes; `cpu_seconds` are those of the server."""

    server: str
    answer: str
    size: int
    requests: int
    seconds: float
    cpu_seconds: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    @property
    def cpu_us(self) -> float:
        return self.cpu_seconds / self.requests * 1e6


def measure(environment: BenchEnvironment, size: int, groups: Collection[str]) -> Iterator[CachedResult]:
    """Uses the environment's own database, which grows during the run."""
    fill(environment.env["DATABASE_URL"], size, RECIPES, environment.seed, environment.log)
    with ExitStack() as stack:
        servers = {name: _server(environment, stack, name) for name in ("ours", "bare", "drf")}
        stack.enter_context(background_ingest(environment))
        for _ in range(environment.runs):
            if "hot" in groups:
                yield from _measure_cached(environment, servers)
            if "filtered" in groups:
                yield from _measure_filtered(environment, servers)


def rows_added(environment: BenchEnvironment, size: int) -> int:
    """Rows that background ingest added."""
    with CancellableSession(environment.env["DATABASE_URL"]) as session:
        return int(session.value("SELECT head FROM streams WHERE name = 'liquidations'")) - size


def _server(environment: BenchEnvironment, stack: ExitStack, name: str) -> AppProcess:
    arguments = (
        manage("serve") if name == "ours" else ("-m", "hyperwatch.bench.processes.django_entry", f"drf_views.{name}")
    )
    env = {**environment.env, "THROTTLE_READS": NO_THROTTLE}
    return stack.enter_context(AppProcess(name, environment.folder, env, arguments, cores=server_cores()))


def _measure_cached(environment: BenchEnvironment, servers: dict[str, AppProcess]) -> Iterator[CachedResult]:
    for answer, url in CACHED_URLS.items():
        ours = _load_server(environment, servers["ours"], answer, repeat(url))
        yield ours
        yield _load_server(environment, servers["bare"], answer, repeat(f"/bytes/{ours.size}"))


def _measure_filtered(environment: BenchEnvironment, servers: dict[str, AppProcess]) -> Iterator[CachedResult]:
    for answer, ours, reference in FILTERED_URLS:
        for server, path in (("ours", ours), ("drf", reference)):
            urls = cycle([path.format(coin=distributions.coin(number)) for number in (1, 2, 3)])
            yield _load_server(environment, servers[server], answer, urls)


def _load_server(environment: BenchEnvironment, server: AppProcess, answer: str, urls: Iterator[str]) -> CachedResult:
    with open_local(f"http://127.0.0.1:{server.port}{next(urls)}", timeout=60) as response:
        size = len(response.read())
    load = HttpLoad(server.port, CLIENTS, urls)
    seconds = QUICK_SECONDS if environment.is_quick else SECONDS
    load.run(seconds / 4)
    before = server.cpu_seconds
    result = load.run(seconds)
    run = CachedResult(
        server=server.name,
        answer=answer,
        size=size,
        requests=result.responses,
        seconds=result.seconds,
        cpu_seconds=server.cpu_seconds - before,
    )
    environment.log(
        f"{run.answer}, {run.server}: {run.per_second:,.0f} requests/s, {run.cpu_us:,.0f} µs, {run.size:,} bytes"
    )
    return run


def figures(runs: Sequence[CachedResult]) -> Iterator[Figure]:
    for answer in CACHED_URLS:
        yield from _compare(f"hot, {answer}", answer, runs, "bare", "bytes without middleware", 0.5)
    for answer, *_ in FILTERED_URLS:
        yield from _compare(f"100 filtered rows by {answer}", answer, runs, "drf", "DRF alone", 5)


def _compare(
    group: str, answer: str, runs: Sequence[CachedResult], reference: str, label: str, minimum: float
) -> Iterator[Figure]:
    ours, reference_runs = (
        [run for run in runs if (run.answer, run.server) == (answer, of)] for of in ("ours", reference)
    )
    if not ours:
        return
    for name, own in (("ours", ours), (label, reference_runs)):
        yield figure(group, name, [run.per_second for run in own], "requests/s")
        yield figure(group, f"{name}: the server's CPU", [run.cpu_us for run in own], "µs/request")
    above, below = [run.per_second for run in ours], [run.per_second for run in reference_runs]
    yield ratio(group, f"ours / {label}", above, below, target=AtLeast(minimum))
