"""What each endpoint answers in at each size: over HTTP, and the database's part alone.

A server for each size, all on one core; one client with one connection on the other, beside PostgreSQL. The sizes
take turns, so that what disturbs disturbs all of them.
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
from hyperwatch.bench.load.delivery_log import Spread, spread
from hyperwatch.bench.report import AtMost, Figure, Report, ratio_of_ends, series
from hyperwatch.bench.sql.cancellable_sql import CancellableSession
from hyperwatch.bench.sql.explain_plans import NO_THROTTLE, PlanCost, cost, views_on
from hyperwatch.bench.sql.query_sampler import QuerySampler
from hyperwatch.harness.app_process import AppProcess, manage
from hyperwatch.harness.host import server_cores

WARM = 5
# For one question, round and size; a slow answer is asked for less often.
PATIENCE = 6.0
LEAST = 10


class Rest(NamedTuple):
    sizes: list[int]
    requests: int
    groups: list[str]


class RestResult(msgspec.Struct, frozen=True, kw_only=True):
    """One question at one size; seconds by round, the database's costs of all rounds together."""

    group: str
    question: str
    size: int
    requests: int
    http: list[Spread]
    sql_ms: Spread
    read: float
    read_per_returned: float
    pages: int
    returned: float
    slowest: str


def rest(ground: BenchEnvironment, asked: Rest) -> Report:
    report = ground.report("rest", **asked._asdict())
    _by_size(ground, asked, report)
    if under_pressure := set(asked.groups) & set(cached_endpoints.GROUPS):
        found = list(cached_endpoints.hot(ground, min(asked.sizes), under_pressure))
        report.runs += found
        report.figures += cached_endpoints.figures(found)
        report.checks["went on"] = cached_endpoints.grown(ground, min(asked.sizes))
    return report


def _by_size(ground: BenchEnvironment, asked: Rest, report: Report) -> None:
    streams = dict.fromkeys(stream for group in asked.groups for stream in GROUPS.get(group, ()))
    if not streams:
        return
    databases = {size: filled(ground, size, streams) for size in asked.sizes}
    with ExitStack() as stack:
        shops = [
            stack.enter_context(closing(QuerySession(ground, stack, size, url))) for size, url in databases.items()
        ]
        for question in (question for question in QUERIES if question.group in asked.groups):
            runs = list(_runs(ground, asked, shops, question))
            report.runs += runs
            report.figures += _figures(runs)
    report.checks = {"questions": len(report.runs) // len(asked.sizes), "all answered": True}


class QuerySession:
    """A database of one size, a server on it, and a client."""

    def __init__(self, ground: BenchEnvironment, stack: ExitStack, size: int, url: str) -> None:
        self.size = size
        self.url = url
        self.session = stack.enter_context(CancellableSession(url))
        # Each answer is to be made.
        env = {**ground.env, "DATABASE_URL": url, "THROTTLE_READS": NO_THROTTLE, "RESPONSE_CACHE_MAX_BYTES": "0"}
        site = AppProcess(f"serve-{size}", ground.folder, env, manage("serve"), cores=server_cores())
        stack.enter_context(site)
        self._client = http.client.HTTPConnection("127.0.0.1", site.port, timeout=120)

    def close(self) -> None:
        self._client.close()

    def reconnect(self, url: str) -> None:
        """While the others had their turn the server may have parted with a client that asked nothing."""
        self._client.close()
        self.seconds(url)

    def seconds(self, url: str) -> float:
        began = time.perf_counter()
        self._client.request("GET", url)
        answer = self._client.getresponse()
        body = answer.read()
        seconds = time.perf_counter() - began
        if answer.status != 200:
            raise CannotMeasureError(f"{url} answered {answer.status}: {body[:500]!r}")
        return seconds


def _runs(
    ground: BenchEnvironment, asked: Rest, shops: Sequence[QuerySession], question: BenchQuery
) -> Iterator[RestResult]:
    askers = [QuerySampler(shop.session, ground.seed, shop.size) for shop in shops]
    for shop, asker in zip(shops, askers, strict=True):
        shop.reconnect(question.url(asker))
        for _ in range(min(WARM, asked.requests)):
            shop.seconds(question.url(asker))
    rounds: list[list[list[float]]] = [[] for _ in shops]
    for _ in range(ground.runs):
        for found, shop, asker in zip(rounds, shops, askers, strict=True):
            shop.reconnect(question.url(asker))
            found.append([shop.seconds(question.url(asker)) for _ in _patiently(asked.requests)])
    for found, shop, asker in zip(rounds, shops, askers, strict=True):
        with views_on(shop.url) as client:
            costs = [cost(client, question.url(asker)) for _ in _patiently(asked.requests)]
        run = _run(question, shop.size, found, costs)
        ground.say(
            f"{run.group}, {run.question}, {run.size:,}: p50 {run.http[0].p50 * 1e3:.1f} ms, p99 "
            f"{run.http[0].p99 * 1e3:.1f} ms, SQL p99 {run.sql_ms.p99:.1f} ms, {run.read:,.0f} rows read"
        )
        yield run


def _patiently(requests: int) -> Iterator[None]:
    until = time.monotonic() + PATIENCE
    for number in range(requests):
        if number >= LEAST and time.monotonic() > until:
            return
        yield


def _run(question: BenchQuery, size: int, rounds: list[list[float]], costs: list[PlanCost]) -> RestResult:
    return RestResult(
        group=question.group,
        question=question.name,
        size=size,
        requests=sum(map(len, rounds)),
        http=[spread(seconds) for seconds in rounds],
        sql_ms=spread([one.ms for one in costs]),
        read=max(one.read for one in costs),
        read_per_returned=max(one.read_per_returned for one in costs),
        pages=max(one.pages for one in costs),
        returned=sum(one.returned for one in costs) / len(costs),
        slowest=max(costs, key=lambda one: one.ms).slowest,
    )


def _figures(runs: Sequence[RestResult]) -> Iterator[Figure]:
    """By size, the largest last; the value is the largest's."""
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
