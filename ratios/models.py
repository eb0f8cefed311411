"""How the market is positioned: long against short."""

from collections.abc import Iterable
from typing import Any, Self

from django.core.exceptions import EmptyResultSet
from django.db import connection, models

from hyperwatch.db.fields import AmountField, CoinField, RatioField, not_nan
from realtime.models import StoredFact
from realtime.storage.sequences import latest_ids

# What PostgreSQL calls them; each begins at a whole one since 1970, in UTC.
INTERVALS = {"1m": "1 minute", "5m": "5 minutes", "15m": "15 minutes", "1h": "1 hour", "1d": "24 hours"}

# The newest ratios are read as they are, as many as one a minute would be in so many intervals: where that is a few a
# interval, to step over them would cost more than they do.
MINUTES = {"1m": 1, "5m": 5}
MOST_READ = 10_000
# From there back each interval is looked for in the coin's index, a stretch of them at a time. A stretch is twice as
# many as the one before had ratios in, and begins at the next ratio that there is: so no more than two are looked for
# in vain for one that has a ratio. All come in order, as the index is read and the intervals are looked through in
# order; to say so would have them sorted twice.
LONGEST_STRETCH = 64
LAST = """
            SELECT timestamp, id FROM of_coin WHERE timestamp >= {begin} AND timestamp < {end}{also}
            ORDER BY timestamp DESC, id DESC LIMIT 1"""
# A look reads all of its times that are on a page of the index, though it takes the last. So of the longer intervals
# the end is looked at first, and the rest where there is nothing. Those that end with an hour have an index of ends.
END_MINUTES = 5
END = f"'{END_MINUTES} minutes'::interval"
HOURS_END_FROM = 60 - END_MINUTES
# As that index has it.
IN_HOURS_END = f" AND EXTRACT(MINUTE FROM timestamp AT TIME ZONE 'UTC') >= {HOURS_END_FROM}"
LONGER = {"15m": "", "1h": IN_HOURS_END, "1d": IN_HOURS_END}
LATEST_PER_INTERVAL = """
WITH RECURSIVE of_coin AS NOT MATERIALIZED ({ratios}), recent AS (
    SELECT timestamp, id, date_bin({interval}, timestamp, 'epoch'::timestamptz) AS start FROM of_coin
    ORDER BY timestamp DESC, id DESC LIMIT {read}
), stretches AS (
    SELECT array_agg(timestamp) AS times, array_agg(id) AS ids, min(start) AS before, 1 AS intervals
    FROM (SELECT *, lag(start) OVER (ORDER BY timestamp DESC, id DESC) AS later FROM recent) AS recent
    WHERE start IS DISTINCT FROM later
    UNION ALL
    SELECT found.times, found.ids, newest.start - (intervals - 1) * {interval},
        least(2 * cardinality(found.ids), {longest})
    FROM stretches, LATERAL (
        SELECT date_bin({interval}, timestamp, 'epoch'::timestamptz) AS start FROM of_coin
        WHERE timestamp < before ORDER BY timestamp DESC, id DESC LIMIT 1
    ) newest, LATERAL (
        SELECT array_agg(timestamp) AS times, array_agg(id) AS ids
        FROM generate_series(0, intervals - 1) AS back, LATERAL ({last}
        ) last
    ) found
)
SELECT unnest(times) AS timestamp, unnest(ids) AS id FROM stretches LIMIT {most}"""


class RatioQuerySet(models.QuerySet["LongShortRatio"]):
    def newest_of_each_coin(self, coins: Iterable[str] | None) -> Self:
        """Of `coins`, or of all."""
        return self.filter(id__in=latest_ids(self, "long_short_ratios", "timestamp", coins))

    def last_of_each(self, interval: str, most: int) -> Self:
        """The last of each of the `most` newest intervals that have one."""
        return self.filter(IsLatestInInterval(self, interval, most))

    def ids_of_last_of_each(self, interval: str, most: int) -> list[int]:
        """The ids of the same, the newest first, without finding them again."""
        try:
            text, params = latest_per_interval(self, interval, most)
        except EmptyResultSet:
            return []
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT id FROM ({text}) AS last", params)
            return [id_ for (id_,) in cursor.fetchall()]


class IsLatestInInterval(models.Expression):
    """Whether a ratio is one of the `last_of_each`; it is not made into SQL before somebody asks."""

    output_field = models.BooleanField()

    def __init__(self, ratios: RatioQuerySet, interval: str, most: int) -> None:
        super().__init__()
        self.asked = (ratios, interval, most)

    def as_sql(self, *_by: Any, **_context: Any) -> tuple[str, tuple[Any, ...]]:
        text, params = latest_per_interval(*self.asked)
        # By time and id they are found in the coin's index again, and not each on a page of the table.
        return f"(timestamp, id) IN ({text})", params


def latest_per_interval(ratios: RatioQuerySet, interval: str, most: int) -> tuple[str, tuple[Any, ...]]:
    """As SQL and its parameters. Raises EmptyResultSet where there can be none."""
    # Django made the inner text; what a client sent is in the parameters.
    inner, params = ratios.order_by().values("id", "timestamp").query.sql_with_params()
    length = f"'{INTERVALS[interval]}'::interval"
    last = _last(interval, f"start - back * {length}", f"start - (back - 1) * {length}")
    read = min(most * MINUTES.get(interval, 0), MOST_READ) or 1
    text = LATEST_PER_INTERVAL.format(
        ratios=inner, interval=length, read=read, last=last, longest=LONGEST_STRETCH, most=most
    )
    return text, params


def _last(interval: str, begin: str, end: str) -> str:
    if interval not in LONGER:
        return LAST.format(begin=begin, end=end, also="")
    almost = f"{end} - {END}"
    ends = LAST.format(begin=almost, end=end, also=LONGER[interval])
    return f"({ends}) UNION ALL ({LAST.format(begin=begin, end=almost, also='')}) LIMIT 1"


class LongShortRatio(StoredFact):
    """The shares of long and short in the open positions of one coin at one time."""

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
            # A twelfth of it, where the last of each hour is mostly found.
            models.Index(
                fields=["coin", "timestamp", "id"],
                condition=models.Q(timestamp__minute__gte=HOURS_END_FROM),
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
