"""Tables of liquidations and liquidation maps."""

from django.db import models

from hyperwatch.db.fields import (
    AddressField,
    AmountField,
    CoinField,
    HashField,
    JsonTextField,
    LeverageField,
    hash_index,
    not_nan,
)
from hyperwatch.formats import Side
from realtime.models import StoredFact


class Liquidation(StoredFact):
    """A liquidated position, or one fill of its liquidation."""

    tx_hash = HashField()
    block_number = models.BigIntegerField(null=True)
    block_timestamp = models.DateTimeField()
    user_address = AddressField()
    coin = CoinField()
    side = models.CharField(max_length=5, choices=[(side.value, side.value) for side in Side])
    liquidated_size = AmountField()
    liquidation_price = AmountField()
    liquidation_value_usd = AmountField()
    leverage = LeverageField(null=True)
    margin = AmountField(null=True)
    liquidator_address = AddressField(null=True)
    raw_data = JsonTextField(null=True)

    class Meta:
        db_table = "liquidations"
        ordering = ("-block_timestamp", "-id")
        indexes = [
            models.Index(fields=["block_timestamp", "id"], name="liquidations_time"),
            models.Index(fields=["coin", "block_timestamp", "id"], name="liquidations_coin_time"),
            # Covers the usual filters: PostgreSQL skips a busy wallet's rows in the index, without heap reads.
            models.Index(
                fields=["user_address", "block_timestamp", "id"],
                include=["coin", "side"],
                name="liquidations_user_time",
            ),
            hash_index("liquidations_hash"),
            # Covering: counts by value and another filter use an index-only scan.
            models.Index(
                fields=["liquidation_value_usd"], include=["id", "side", "coin"], name="liquidations_value_covering"
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(side__in=list(Side)), name="liquidations_side"),
            models.CheckConstraint(condition=models.Q(liquidated_size__gte=0), name="liquidations_size"),
            models.CheckConstraint(condition=models.Q(liquidation_price__gte=0), name="liquidations_price"),
            *not_nan(
                ["liquidated_size", "liquidation_price", "liquidation_value_usd", "leverage", "margin"],
                "liquidations",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.coin} {self.side} {self.liquidation_value_usd:f} USD"


class LiquidationMap(StoredFact):
    """Value and number of one coin's positions by liquidation price at one time."""

    coin = CoinField()
    timestamp = models.DateTimeField()
    price_levels = JsonTextField()

    class Meta:
        db_table = "liquidation_map"
        ordering = ("-timestamp", "-id")
        indexes = [
            models.Index(fields=["timestamp", "id"], name="liquidation_map_time"),
            models.Index(fields=["coin", "timestamp", "id"], name="liquidation_map_coin_time"),
        ]

    def __str__(self) -> str:
        return f"{self.coin} at {self.timestamp}"
