"""Response time of each endpoint at each size: over HTTP, and of its SQL alone.

One server a size, all on one core; one client with one connection and PostgreSQL on the others. Sizes alternate, so
a disturbance affects all of them.
"""

import http.client
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import NamedTuple

import msgspec

from hyperwatch.bench import CannotMeasureError, cached_endpoints
from hyperwatch.bench.data.queries import GROUPS, QUERIES, BenchQuery
from hyperwatch.bench.data.table_fill import filled
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.load.delivery_log import Percentiles, percentiles
from hyperwatch.bench.report import AtMost, Figure, Report, ratio_of_ends, series
from hyperwatch.bench.sql.cancellable_sql import CancellableSession
from hyperwatch.bench.sql.explain_plans import NO_THROTTLE, PlanCost, client_for_database, cost
from hyperwatch.bench.sql.query_sampler import QuerySampler
from hyperwatch.harness.app_process import AppProcess, manage
from hyperwatch.harness.host import server_cores

WARM_UP_REQUESTS = 5
# For one query, round and size: a slow query gets fewer requests.
QUERY_TIME_LIMIT_SECONDS = 6.0
MIN_REQUESTS = 10


class RestOptions(NamedTuple):
    sizes: list[int]
    requests: int
    groups: list[str]


class RestResult(msgspec.Struct, frozen=True, kw_only=True):
    """One query at one size: seconds of HTTP by round, costs of SQL over all requests."""

    group: str
    question: str
    size: int
    requests: int
    http: list[Percentiles]
    sql_ms: Percentiles
    read: float
    read_per_returned: float
    pages: int
    returned: float
    slowest: str


def rest(environment: BenchEnvironment, options: RestOptions) -> Report:
    report = environment.report("rest", **options._asdict())
    _by_size(environment, options, report)
    if cached_groups := set(options.groups) & set(cached_endpoints.GROUPS):
        results = list(cached_endpoints.measure(environment, min(options.sizes), cached_groups))
        report.runs += results
        report.figures += cached_endpoints.figures(results)
        report.checks["went on"] = cached_endpoints.rows_added(environment, min(options.sizes))
    return report


def _by_size(environment: BenchEnvironment, options: RestOptions, report: Report) -> None:
    streams = dict.fromkeys(stream for group in options.groups for stream in GROUPS.get(group, ()))
    if not streams:
        return
    databases = {size: filled(environment, size, streams) for size in options.sizes}
    with ExitStack() as stack:
        sessions = [
            stack.enter_context(closing(QuerySession(environment, stack, size, url))) for size, url in databases.items()
        ]
        for query in (query for query in QUERIES if query.group in options.groups):
            runs = list(_runs(environment, options, sessions, query))
            report.runs += runs
            report.figures += _figures(runs)
    report.checks = {"questions": len(report.runs) // len(options.sizes), "all answered": True}


class QuerySession:
    """A database of one size, its server, and a client."""

    def __init__(self, environment: BenchEnvironment, stack: ExitStack, size: int, url: str) -> None:
        self.size = size
        self.url = url
        self.session = stack.enter_context(CancellableSession(url))
        # No response cache: each request runs its view.
        env = {**environment.env, "DATABASE_URL": url, "THROTTLE_READS": NO_THROTTLE, "RESPONSE_CACHE_MAX_BYTES": "0"}
        server = AppProcess(f"serve-{size}", environment.folder, env, manage("serve"), cores=server_cores())
        stack.enter_context(server)
        self._client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)

    def close(self) -> None:
        self._client.close()

    def reconnect(self, url: str) -> None:
        """The server closes a connection that was idle during the runs of the other sizes."""
        self._client.close()
        self.seconds(url)

    def seconds(self, url: str) -> float:
        started = time.perf_counter()
        self._client.request("GET", url)
        response = self._client.getresponse()
        body = response.read()
        seconds = time.perf_counter() - started
        if response.status != 200:
            raise CannotMeasureError(f"{url}: status {response.status} in place of 200: {body[:500]!r}")
        return seconds


def _runs(
    environment: BenchEnvironment, options: RestOptions, sessions: Sequence[QuerySession], query: BenchQuery
) -> Iterator[RestResult]:
    samplers = [QuerySampler(session.session, environment.seed, session.size) for session in sessions]
    for session, sampler in zip(sessions, samplers, strict=True):
        session.reconnect(query.url(sampler))
        for _ in range(min(WARM_UP_REQUESTS, options.requests)):
            session.seconds(query.url(sampler))
    rounds: list[list[list[float]]] = [[] for _ in sessions]
    for _ in range(environment.runs):
        for latencies, session, sampler in zip(rounds, sessions, samplers, strict=True):
            session.reconnect(query.url(sampler))
            latencies.append([session.seconds(query.url(sampler)) for _ in _time_limited(options.requests)])
    for latencies, session, sampler in zip(rounds, sessions, samplers, strict=True):
        with client_for_database(session.url) as client:
            costs = [cost(client, query.url(sampler)) for _ in _time_limited(options.requests)]
        run = _run(query, session.size, latencies, costs)
        environment.log(
            f"{run.group}, {run.question}, {run.size:,}: p50 {run.http[0].p50 * 1e3:.1f} ms, p99 "
            f"{run.http[0].p99 * 1e3:.1f} ms, SQL p99 {run.sql_ms.p99:.1f} ms, {run.read:,.0f} rows read"
        )
        yield run


def _time_limited(requests: int) -> Iterator[None]:
    until = time.monotonic() + QUERY_TIME_LIMIT_SECONDS
    for number in range(requests):
        if number >= MIN_REQUESTS and time.monotonic() > until:
            return
        yield


def _run(query: BenchQuery, size: int, rounds: list[list[float]], costs: list[PlanCost]) -> RestResult:
    return RestResult(
        group=query.group,
        question=query.name,
        size=size,
        requests=sum(map(len, rounds)),
        http=[percentiles(seconds) for seconds in rounds],
        sql_ms=percentiles([one.ms for one in costs]),
        read=max(one.read for one in costs),
        read_per_returned=max(one.read_per_returned for one in costs),
        pages=max(one.pages for one in costs),
        returned=sum(one.returned for one in costs) / len(costs),
        slowest=max(costs, key=lambda one: one.ms).slowest,
    )


def _figures(runs: Sequence[RestResult]) -> Iterator[Figure]:
    """Values by size; the figure is that of the largest."""
    group = f"{runs[0].group}, {runs[0].question}"
    p99 = [_median([one.p99 * 1e3 for one in run.http]) for run in runs]
    yield series(group, "HTTP p50", [_median([one.p50 * 1e3 for one in run.http]) for run in runs], "ms")
    yield series(group, "HTTP p99", p99, "ms")
    yield ratio_of_ends(group, "HTTP p99, largest / smallest", p99, AtMost(2))
    sql = [run.sql_ms.p99 for run in runs]
    yield series(group, "SQL p99", sql, "ms", AtMost(max(2 * sql[0], 10)))
    yield series(group, "rows read / returned", [run.read_per_returned for run in runs], "x", AtMost(50))
    yield series(group, "rows read", [run.read for run in runs])


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
