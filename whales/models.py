"""Tables of watched wallets and their activities."""

from django.db import connection, models

from hyperwatch.db.fields import AddressField, AmountField, CoinField, HashField, JsonTextField, not_nan
from realtime.models import StoredFact
from whales.events import ActivityType


class WhaleWatch(models.Model):
    """A watched wallet; `is_active` switches new activities on and off."""

    wallet_address = AddressField(unique=True)
    alias = models.CharField(max_length=100, blank=True, default="")
    description = models.TextField(blank=True, default="")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "whale_watches"
        ordering = ("id",)
        verbose_name_plural = "whale watches"

    def __str__(self) -> str:
        return self.alias or self.wallet_address


class WhaleActivity(StoredFact):
    """An activity of a watched wallet. `whale_id` and `alias` are copies: later changes of the watch do not apply."""

    whale_id = models.BigIntegerField()
    alias = models.CharField(max_length=100)
    wallet_address = AddressField()
    activity_type = models.CharField(max_length=11, choices=[(kind.value, kind.value) for kind in ActivityType])
    tx_hash = HashField()
    coin = CoinField()
    size = AmountField()
    value_usd = AmountField()
    timestamp = models.DateTimeField()
    details = JsonTextField()

    class Meta:
        db_table = "whale_activities"
        ordering = ("-timestamp", "-id")
        verbose_name_plural = "whale activities"
        indexes = [
            models.Index(fields=["timestamp", "id"], name="whale_activities_time"),
            # Retention selects the rows of each coin by time.
            models.Index(fields=["coin", "timestamp", "id"], name="whale_activities_coin_time"),
            models.Index(fields=["whale_id", "timestamp", "id"], name="whale_activities_whale_time"),
            models.Index(
                fields=["whale_id", "activity_type", "timestamp", "id"], name="whale_activities_whale_of_type"
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(activity_type__in=list(ActivityType)), name="whale_activities_type"
            ),
            models.CheckConstraint(condition=models.Q(size__gte=0), name="whale_activities_size"),
            *not_nan(["size", "value_usd"], "whale_activities"),
        ]

    def __str__(self) -> str:
        return f"{self.alias or self.wallet_address} {self.activity_type} {self.coin}"


def has_activities(whale_id: int) -> bool:
    """Raw SQL: the ORM takes longer to compile this query than the database to run it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT 1 FROM whale_activities WHERE whale_id = %s)", [whale_id])
        return bool(cursor.fetchone()[0])
