"""What an answer costs the database: its statements, run by the view itself, and then again by EXPLAIN.

The default settings of PostgreSQL, and warm: what a statement reads was read a moment before.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import dj_database_url
import msgspec
from django.conf import settings
from django.db import connection, reset_queries
from django.test import Client
from django.test.utils import CaptureQueriesContext

from hyperwatch.bench import CannotMeasureError
from hyperwatch.cache.response_cache import response_cache
from realtime.storage.sequences import BEGIN

# Timing each node would cost more than many a node does.
EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "
# They read tables; others read what a node below them gives, or, like Bitmap Index Scan, what another counts.
SCANS = {"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Sample Scan", "Tid Scan", "Tid Range Scan"}
LISTS = ("items", "liquidations", "ratios", "by_coin", "coins", "positions", "fills", "whales")
NO_THROTTLE = "100000000/second"


class PlanCost(NamedTuple):
    """Milliseconds to execute, rows that scans looked at, pages of 8 KB; `returned` are the rows in the answer.

    `slowest` is the statement that took longest.
    """

    ms: float
    read: float
    pages: int
    returned: int
    slowest: str

    @property
    def read_per_returned(self) -> float:
        return self.read / max(1, self.returned)


@contextmanager
def views_on(url: str) -> Iterator[Client]:
    """Our own views, in this process, on that database."""
    before, throttle = dict(connection.settings_dict), settings.THROTTLE_READS
    connection.close()
    given = dj_database_url.parse(url)
    options = {**before["OPTIONS"], **given.get("OPTIONS", {})}
    connection.settings_dict.update({**given, "OPTIONS": options})
    settings.THROTTLE_READS = NO_THROTTLE
    logging.disable(logging.INFO)
    try:
        yield Client()
    finally:
        logging.disable(logging.NOTSET)
        connection.close()
        connection.settings_dict.update(before)
        settings.THROTTLE_READS = throttle


def cost(client: Client, url: str) -> PlanCost:
    # The log is bounded, and one that is full tells of nothing new.
    reset_queries()
    response_cache.clear()
    with CaptureQueriesContext(connection) as captured:
        answer = client.get(url)
    if answer.status_code != 200:
        raise CannotMeasureError(f"{url} answered {answer.status_code}: {answer.content[:500]!r}")
    statements = [query["sql"].removeprefix(f"{BEGIN}; ") for query in captured if "SELECT" in query["sql"]]
    plans = [(_plan(sql), sql) for sql in statements]
    slowest = max(plans, key=lambda plan: plan[0]["Execution Time"], default=({}, ""))[1]
    return PlanCost(
        ms=sum(plan["Execution Time"] for plan, _ in plans),
        read=sum(_rows_read(plan["Plan"]) for plan, _ in plans),
        pages=sum(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] for plan, _ in plans),
        returned=rows_in(answer.content),
        slowest=slowest,
    )


def rows_in(answer: bytes) -> int:
    data = msgspec.json.decode(answer)["data"]
    return max([len(data[name]) for name in LISTS if name in data], default=1)


def _plan(sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(EXPLAIN + sql)
        (found,) = cursor.fetchone()
    return (msgspec.json.decode(found) if isinstance(found, str) else found)[0]


def _rows_read(node: Mapping[str, Any]) -> float:
    below = sum(_rows_read(one) for one in node.get("Plans", ()))
    if node["Node Type"] not in SCANS:
        return below
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    looked_at: float = (node["Actual Rows"] + removed) * node["Actual Loops"]
    return below + looked_at
