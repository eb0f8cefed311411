"""Table of long/short ratios, and the SQL of their history by interval."""

from collections.abc import Iterable
from typing import Any, Self

from django.core.exceptions import EmptyResultSet
from django.db import connection, models

from hyperwatch.db.fields import AmountField, CoinField, RatioField, not_nan
from realtime.models import StoredFact
from realtime.storage.sequences import latest_ids

# Interval lengths in PostgreSQL's syntax. Each interval begins at a multiple of its length since 1970, in UTC.
INTERVALS = {"1m": "1 minute", "5m": "5 minutes", "15m": "15 minutes", "1h": "1 hour", "1d": "24 hours"}

# Short intervals hold few rows each: reading the newest rows in sequence costs less than one index probe per interval.
# The number of rows read equals one ratio a minute over the requested intervals.
MINUTES_PER_INTERVAL = {"1m": 1, "5m": 5}
MAX_SEQUENTIAL_ROWS = 10_000
# Older intervals are probed in the index by coin, one window of intervals at a time. A window begins at the next
# ratio and has twice as many intervals as the previous window had ratios: at most two probes per ratio find nothing.
# The query has no ORDER BY: index and intervals are read in order, and an explicit one would sort the rows again.
MAX_WINDOW_INTERVALS = 64
LAST_ROW = """
            SELECT timestamp, id FROM of_coin WHERE timestamp >= {begin} AND timestamp < {end}{also}
            ORDER BY timestamp DESC, id DESC LIMIT 1"""
# A probe reads all of the interval's entries on one index page, although it returns only the last. For long intervals
# the first probe covers the last minutes, the second the rest. Intervals that end with an hour have a partial index.
TAIL_MINUTES = 5
TAIL = f"'{TAIL_MINUTES} minutes'::interval"
FIRST_TAIL_MINUTE = 60 - TAIL_MINUTES
# Same expression as in the partial index; a different one would not match it.
IN_HOUR_TAIL = f" AND EXTRACT(MINUTE FROM timestamp AT TIME ZONE 'UTC') >= {FIRST_TAIL_MINUTE}"
TAIL_CONDITIONS = {"15m": "", "1h": IN_HOUR_TAIL, "1d": IN_HOUR_TAIL}
LATEST_PER_INTERVAL = """
WITH RECURSIVE of_coin AS NOT MATERIALIZED ({ratios}), recent AS (
    SELECT timestamp, id, date_bin({interval}, timestamp, 'epoch'::timestamptz) AS start FROM of_coin
    ORDER BY timestamp DESC, id DESC LIMIT {sequential}
), windows AS (
    SELECT array_agg(timestamp) AS times, array_agg(id) AS ids, min(start) AS before, 1 AS intervals
    FROM (SELECT *, lag(start) OVER (ORDER BY timestamp DESC, id DESC) AS later FROM recent) AS recent
    WHERE start IS DISTINCT FROM later
    UNION ALL
    SELECT probed.times, probed.ids, latest.start - (intervals - 1) * {interval},
        least(2 * cardinality(probed.ids), {max_window})
    FROM windows, LATERAL (
        SELECT date_bin({interval}, timestamp, 'epoch'::timestamptz) AS start FROM of_coin
        WHERE timestamp < before ORDER BY timestamp DESC, id DESC LIMIT 1
    ) latest, LATERAL (
        SELECT array_agg(timestamp) AS times, array_agg(id) AS ids
        FROM generate_series(0, intervals - 1) AS back, LATERAL ({last_row}
        ) last
    ) probed
)
SELECT unnest(times) AS timestamp, unnest(ids) AS id FROM windows LIMIT {limit}"""


class RatioQuerySet(models.QuerySet["LongShortRatio"]):
    def latest_per_coin(self, coins: Iterable[str] | None) -> Self:
        """Latest ratio of each of `coins`; None means all coins."""
        return self.filter(id__in=latest_ids(self, "long_short_ratios", "timestamp", coins))

    def latest_per_interval(self, interval: str, limit: int) -> Self:
        """Last ratio of each of the newest `limit` intervals that have one."""
        return self.filter(IsLatestInInterval(self, interval, limit))

    def latest_ids_per_interval(self, interval: str, limit: int) -> list[int]:
        """Ids of `latest_per_interval`, newest first, without a second index lookup."""
        try:
            text, params = latest_per_interval_sql(self, interval, limit)
        except EmptyResultSet:
            return []
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT id FROM ({text}) AS last", params)
            return [id_ for (id_,) in cursor.fetchall()]


class IsLatestInInterval(models.Expression):
    """Condition of `latest_per_interval`, compiled to SQL only when the query runs."""

    output_field = models.BooleanField()

    def __init__(self, ratios: RatioQuerySet, interval: str, limit: int) -> None:
        super().__init__()
        self.arguments = (ratios, interval, limit)

    def as_sql(self, *_args: Any, **_context: Any) -> tuple[str, tuple[Any, ...]]:
        text, params = latest_per_interval_sql(*self.arguments)
        # Time and id match the coin's index; the id alone would read a table page for each row.
        return f"(timestamp, id) IN ({text})", params


def latest_per_interval_sql(ratios: RatioQuerySet, interval: str, limit: int) -> tuple[str, tuple[Any, ...]]:
    """SQL text and parameters. Raises EmptyResultSet if the conditions exclude every row."""
    # No injection: Django compiles the inner query, and client values are in the parameters.
    inner, params = ratios.order_by().values("id", "timestamp").query.sql_with_params()
    length = f"'{INTERVALS[interval]}'::interval"
    last_row = _last_row(interval, f"start - back * {length}", f"start - (back - 1) * {length}")
    sequential = min(limit * MINUTES_PER_INTERVAL.get(interval, 0), MAX_SEQUENTIAL_ROWS) or 1
    text = LATEST_PER_INTERVAL.format(
        ratios=inner,
        interval=length,
        sequential=sequential,
        last_row=last_row,
        max_window=MAX_WINDOW_INTERVALS,
        limit=limit,
    )
    return text, params


def _last_row(interval: str, begin: str, end: str) -> str:
    if interval not in TAIL_CONDITIONS:
        return LAST_ROW.format(begin=begin, end=end, also="")
    tail_begin = f"{end} - {TAIL}"
    tail = LAST_ROW.format(begin=tail_begin, end=end, also=TAIL_CONDITIONS[interval])
    return f"({tail}) UNION ALL ({LAST_ROW.format(begin=begin, end=tail_begin, also='')}) LIMIT 1"


class LongShortRatio(StoredFact):
    """Long and short shares of a coin's open positions at one time."""

    objects = RatioQuerySet.as_manager()

    coin = CoinField()
    timestamp = models.DateTimeField()
    long_ratio = RatioField()
    short_ratio = RatioField()
    long_position_value = AmountField()
    short_position_value = AmountField()
    total_position_value = AmountField()
    long_accounts = models.IntegerField()
    short_accounts = models.IntegerField()

    class Meta:
        db_table = "long_short_ratios"
        ordering = ("-timestamp", "-id")
        indexes = [
            models.Index(fields=["timestamp", "id"], name="long_short_ratios_time"),
            models.Index(fields=["coin", "timestamp", "id"], name="long_short_ratios_coin_time"),
            # One twelfth of the size; contains the last ratio of most hours.
            models.Index(
                fields=["coin", "timestamp", "id"],
                condition=models.Q(timestamp__minute__gte=FIRST_TAIL_MINUTE),
                name="long_short_ratios_hours_end",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(long_ratio__range=(0, 1), short_ratio=1 - models.F("long_ratio")),
                name="long_short_ratios_pair",
            ),
            models.CheckConstraint(
                condition=models.Q(long_accounts__gte=0, short_accounts__gte=0),
                name="long_short_ratios_accounts",
            ),
            *not_nan(["long_position_value", "short_position_value", "total_position_value"], "long_short_ratios"),
        ]

    def __str__(self) -> str:
        return f"{self.coin} {self.long_ratio} long"
