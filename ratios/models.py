"""How the market is positioned: long against short."""

from typing import Self

from django.core.exceptions import EmptyResultSet
from django.db import models
from django.db.models.expressions import RawSQL

from hyperwatch.fields import AmountField, CoinField, RatioField, not_nan
from realtime.heads import newest_ids
from realtime.models import StoredFact

# What PostgreSQL calls them; each begins at a whole one since 1970, in UTC.
INTERVALS = {"1m": "1 minute", "5m": "5 minutes", "15m": "15 minutes", "1h": "1 hour", "1d": "1 day"}

# From the newest ratio to the newest before its interval, and on: one step into the index an interval, and none
# for intervals without a ratio. By time and number they are found in the coin's index again, and not each on a page of
# the table, where every other coin is.
IS_LAST = """
(timestamp, id) IN (WITH RECURSIVE of_coin AS NOT MATERIALIZED ({ratios}), last AS (
    (SELECT id, timestamp FROM of_coin ORDER BY timestamp DESC, id DESC LIMIT 1)
    UNION ALL
    SELECT earlier.id, earlier.timestamp FROM last, LATERAL (
        SELECT id, timestamp FROM of_coin
        WHERE timestamp < date_bin(%s::interval, last.timestamp, 'epoch'::timestamptz)
        ORDER BY timestamp DESC, id DESC LIMIT 1
    ) earlier
)
SELECT timestamp, id FROM last LIMIT %s)"""


class RatioQuerySet(models.QuerySet["LongShortRatio"]):
    def newest_of_each_coin(self) -> Self:
        return self.filter(id__in=newest_ids(self, "long_short_ratios", "timestamp"))

    def last_of_each(self, interval: str, most: int) -> Self:
        """The last of each of the `most` newest intervals that have one."""
        try:
            ratios, params = self.order_by().values("id", "timestamp").query.sql_with_params()
        except EmptyResultSet:
            return self.none()
        # Django made the inner text; what a client sent is in the parameters.
        text = IS_LAST.format(ratios=ratios)
        is_last = RawSQL(text, (*params, INTERVALS[interval], most), models.BooleanField())  # noqa: S611
        return self.filter(is_last)


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
