from django.contrib import admin

from hyperwatch.admin_base import ReadOnlyAdmin, wallet_link
from liquidations.models import Liquidation, LiquidationMap


@admin.register(Liquidation)
class LiquidationAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "block_timestamp",
        "coin",
        "side",
        "liquidation_value_usd",
        "liquidation_price",
        wallet_link("user_address"),
    )
    list_filter = ("side",)
    search_fields = ("coin__exact", "user_address__exact", "tx_hash__exact")
    search_help_text = "Exact coin, wallet address or transaction hash, in the venue's spelling"


@admin.register(LiquidationMap)
class LiquidationMapAdmin(ReadOnlyAdmin):
    list_display = ("id", "timestamp", "coin")
    search_fields = ("coin__exact",)
    search_help_text = "Exact coin, in the venue's spelling"
