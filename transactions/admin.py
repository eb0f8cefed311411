from django.contrib import admin

from hyperwatch.admin_base import ReadOnlyAdmin, wallet_link
from transactions.models import Position, PositionSummary, Transaction


@admin.register(Transaction)
class TransactionAdmin(ReadOnlyAdmin):
    list_display = ("id", "block_timestamp", "coin", "side", "tx_type", "size", "price", wallet_link("user_address"))
    list_filter = ("side", "tx_type")
    search_fields = ("coin__exact", "user_address__exact", "tx_hash__exact")
    search_help_text = "Exact coin, wallet address or transaction hash, in the venue's spelling"


@admin.register(PositionSummary)
class PositionSummaryAdmin(ReadOnlyAdmin):
    list_display = ("id", "timestamp", "coin")
    search_fields = ("coin__exact",)


@admin.register(Position)
class PositionAdmin(ReadOnlyAdmin):
    list_display = (
        "timestamp",
        "coin",
        "side",
        "size",
        "entry_price",
        "mark_price",
        "unrealized_pnl",
        wallet_link("user_address"),
    )
    list_filter = ("side",)
    ordering = ("-id",)
    search_fields = ("user_address__exact", "coin__exact")
    search_help_text = "Exact wallet address or coin, in the venue's spelling"
