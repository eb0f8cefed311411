"""Database cost of a response: runs the view, then EXPLAIN ANALYZE of each captured statement.

With PostgreSQL's default settings and a warm cache: the view has just read the same pages.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
from django.conf import settings
from django.db import connection, reset_queries
from django.test import Client
from django.test.utils import CaptureQueriesContext

from hyperwatch.bench import CannotMeasureError
from hyperwatch.cache.response_cache import response_cache
from hyperwatch.service_urls import parse_database_url
from realtime.storage.sequences import BEGIN

# Per-node timing can cost more than the node.
EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "
# Nodes that read tables. Others read the output of child nodes; a Bitmap Index Scan is counted by its heap scan.
SCAN_NODES = {
    "Seq Scan",
    "Index Scan",
    "Index Only Scan",
    "Bitmap Heap Scan",
    "Sample Scan",
    "Tid Scan",
    "Tid Range Scan",
}
LIST_FIELDS = ("items", "liquidations", "ratios", "by_coin", "coins", "positions", "fills", "whales")
# What the application sends in one message with a query.
PREFIXES = re.compile(rf"^(?:(?:{BEGIN}|SET LOCAL [^;]+); )+")
NO_THROTTLE = "100000000/second"


class PlanCost(NamedTuple):
    """Milliseconds of execution, rows read by scans, pages of 8 KB, rows in the response, the slowest statement."""

    ms: float
    read: float
    pages: int
    returned: int
    slowest: str

    @property
    def read_per_returned(self) -> float:
        return self.read / max(1, self.returned)


@contextmanager
def client_for_database(url: str) -> Iterator[Client]:
    """A test client whose views use the database at `url`, in this process."""
    before, throttle = dict(connection.settings_dict), settings.THROTTLE_READS
    connection.close()
    parsed = parse_database_url(url)
    options = {**before["OPTIONS"], **parsed.get("OPTIONS", {})}
    connection.settings_dict.update({**parsed, "OPTIONS": options})
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
    # The query log is a bounded deque; a full one shows no new queries.
    reset_queries()
    response_cache.clear()
    with CaptureQueriesContext(connection) as captured:
        response = client.get(url)
    if response.status_code != 200:
        raise CannotMeasureError(f"{url}: status {response.status_code} in place of 200: {response.content[:500]!r}")
    statements = [PREFIXES.sub("", query["sql"]) for query in captured if "SELECT" in query["sql"]]
    plans = [(_plan(sql), sql) for sql in statements]
    slowest = max(plans, key=lambda plan: plan[0]["Execution Time"], default=({}, ""))[1]
    return PlanCost(
        ms=sum(plan["Execution Time"] for plan, _ in plans),
        read=sum(_rows_read(plan["Plan"]) for plan, _ in plans),
        pages=sum(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] for plan, _ in plans),
        returned=rows_in(response.content),
        slowest=slowest,
    )


def rows_in(response: bytes) -> int:
    data = msgspec.json.decode(response)["data"]
    return max([len(data[name]) for name in LIST_FIELDS if name in data], default=1)


def _plan(sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(EXPLAIN + sql)
        (plan,) = cursor.fetchone()
    return (msgspec.json.decode(plan) if isinstance(plan, str) else plan)[0]


def _rows_read(node: Mapping[str, Any]) -> float:
    children_rows = sum(_rows_read(one) for one in node.get("Plans", ()))
    if node["Node Type"] not in SCAN_NODES:
        return children_rows
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    scanned: float = (node["Actual Rows"] + removed) * node["Actual Loops"]
    return children_rows + scanned
