from django.contrib import admin

from hyperwatch.admin_base import ReadOnlyAdmin
from ratios.models import LongShortRatio


@admin.register(LongShortRatio)
class LongShortRatioAdmin(ReadOnlyAdmin):
    list_display = ("id", "timestamp", "coin", "long_ratio", "short_ratio", "total_position_value")
    search_fields = ("coin__exact",)
    search_help_text = "Exact coin, in the venue's spelling"
