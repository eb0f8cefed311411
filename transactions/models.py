"""Tables of transactions, position summaries and positions."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Self

from django.db import models
from django.db.models.expressions import RawSQL

from hyperwatch.db.fields import (
    AddressField,
    AmountField,
    CoinField,
    HashField,
    JsonTextField,
    LeverageField,
    hash_index,
    not_nan,
    wire,
)
from hyperwatch.formats import Side, TransactionSide, output_time
from realtime.models import StoredFact
from realtime.storage.sequences import latest_ids
from transactions.events import TransactionType


class TransactionQuerySet(models.QuerySet["Transaction"]):
    def fills_of(self, tx_hash: str) -> Self:
        """Fills of one transaction hash, in order of `seq`."""
        return self.filter(tx_hash=tx_hash).order_by("id")


class Transaction(StoredFact):
    """A fill or a transfer. Many fills share one hash; the venue gives an all-zero hash to unrelated ones."""

    objects = TransactionQuerySet.as_manager()

    tx_hash = HashField()
    block_number = models.BigIntegerField(null=True)
    block_timestamp = models.DateTimeField()
    user_address = AddressField()
    coin = CoinField()
    side = models.CharField(max_length=5, choices=[(side.value, side.value) for side in TransactionSide])
    size = AmountField()
    price = AmountField()
    leverage = LeverageField(null=True)
    margin = AmountField(null=True)
    fee = AmountField(null=True)
    tx_type = models.CharField(max_length=11, choices=[(kind.value, kind.value) for kind in TransactionType])
    raw_data = JsonTextField(null=True)

    class Meta:
        db_table = "transactions"
        ordering = ("-block_timestamp", "-id")
        indexes = [
            models.Index(fields=["block_timestamp", "id"], name="transactions_time"),
            models.Index(fields=["coin", "block_timestamp", "id"], name="transactions_coin_time"),
            # Covers the usual filters: PostgreSQL skips a busy wallet's rows in the index, without heap reads.
            models.Index(
                fields=["user_address", "block_timestamp", "id"],
                include=["coin", "side"],
                name="transactions_user_time",
            ),
            hash_index("transactions_hash"),
            # Partial: nearly all rows are orders. A page of orders fills quickly by time, and this index stays small.
            models.Index(
                fields=["tx_type", "block_timestamp", "id"],
                condition=~models.Q(tx_type=TransactionType.ORDER.value),
                name="transactions_rare_type_time",
            ),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(side__in=list(TransactionSide)), name="transactions_side"),
            models.CheckConstraint(condition=models.Q(tx_type__in=list(TransactionType)), name="transactions_tx_type"),
            models.CheckConstraint(condition=models.Q(size__gte=0), name="transactions_size_positive"),
            models.CheckConstraint(condition=models.Q(price__gte=0), name="transactions_price_positive"),
            *not_nan(["size", "price", "leverage", "margin", "fee"], "transactions"),
        ]

    def __str__(self) -> str:
        return f"{self.tx_type} {self.coin} {self.side} {self.size:f}"


class SummaryQuerySet(models.QuerySet["PositionSummary"]):
    def latest_times(self, coins: Iterable[str] | None) -> dict[str, datetime]:
        """Time of the latest summary of each of `coins`; None means all coins."""
        latest = self.filter(id__in=latest_ids(self, "position_summaries", "timestamp", coins))
        return dict(latest.order_by("coin").values_list("coin", "timestamp"))


class PositionSummary(StoredFact):
    """All positions of a coin at one time. It is complete: a wallet without a row in it has no position."""

    objects = SummaryQuerySet.as_manager()

    coin = CoinField()
    timestamp = models.DateTimeField()

    class Meta:
        db_table = "position_summaries"
        verbose_name_plural = "position summaries"
        ordering = ("-timestamp", "-id")
        indexes = [models.Index(fields=["coin", "timestamp", "id"], name="position_summaries_coin_time")]

    def __str__(self) -> str:
        return f"{self.coin} at {self.timestamp}"


# Fields of P in rest.md
POSITION_FIELDS = [
    "user_address",
    "coin",
    "side",
    "size",
    "entry_price",
    "mark_price",
    "leverage",
    "margin",
    "unrealized_pnl",
    "timestamp",
]


# The ORM has no comparison of column pairs with arrays.
IN_SUMMARIES = "(coin, timestamp) IN (SELECT * FROM unnest(%s::text[], %s::timestamptz[]))"


class PositionQuerySet(models.QuerySet["Position"]):
    def in_summaries(self, as_of: Mapping[str, datetime], user_address: str | None) -> Self:
        """Positions of the summaries at `as_of`, {coin: time}, ordered by coin; None means all users."""
        selected = self.filter(user_address=user_address) if user_address else self
        pairs = RawSQL(IN_SUMMARIES, [list(as_of), list(as_of.values())], models.BooleanField())  # noqa: S611 (constant)
        return selected.filter(pairs).order_by("coin", "user_address", "side")

    def to_items(self) -> list[dict[str, Any]]:
        """P of rest.md."""
        columns = [wire(Position, name)[0] for name in POSITION_FIELDS]
        items = [dict(zip(POSITION_FIELDS, row, strict=True)) for row in self.values_list(*columns)]
        for position in items:
            position["timestamp"] = output_time(position["timestamp"])
        return items


class Position(models.Model):
    """A position of one wallet in a summary."""

    objects = PositionQuerySet.as_manager()

    user_address = AddressField()
    coin = CoinField()
    side = models.CharField(max_length=5, choices=[(side.value, side.value) for side in Side])
    size = AmountField()
    entry_price = AmountField()
    mark_price = AmountField()
    leverage = LeverageField(null=True)
    margin = AmountField(null=True)
    unrealized_pnl = AmountField(null=True)
    timestamp = models.DateTimeField()
    created_at = models.DateTimeField(db_default=models.functions.Now(), editable=False)

    class Meta:
        db_table = "positions"
        constraints = [
            models.UniqueConstraint(fields=["coin", "timestamp", "user_address", "side"], name="positions_identity"),
            models.CheckConstraint(condition=models.Q(side__in=list(Side)), name="positions_side"),
            models.CheckConstraint(condition=models.Q(size__gte=0), name="positions_size_positive"),
            *not_nan(["size", "entry_price", "mark_price", "leverage", "margin", "unrealized_pnl"], "positions"),
        ]
        indexes = [models.Index(fields=["user_address", "coin", "timestamp"], name="positions_user_coin_time")]

    def __str__(self) -> str:
        return f"{self.coin} {self.side} {self.size:f}"
