"""How the market is positioned: long against short."""

from django.db import models

from hyperwatch.fields import AmountField, CoinField, RatioField, not_nan
from realtime.models import StoredFact


class LongShortRatio(StoredFact):
    """The shares of long and short in the open positions of one coin at one time."""

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
            models.Index(fields=["-timestamp", "-id"], name="long_short_ratios_time"),
            models.Index(fields=["coin", "-timestamp", "-id"], name="long_short_ratios_coin_time"),
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
