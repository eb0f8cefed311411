"""Admin pages of watched wallets and their activities."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from hyperwatch.admin_base import ReadOnlyAdmin, wallet_link
from hyperwatch.formats import isoformat
from realtime.streams import get_stream
from whales.models import WhaleActivity, WhaleWatch
from whales.stream import WHALE_ACTIVITIES

MAX_LISTED_ROWS = 10


@admin.register(WhaleWatch)
class WhaleWatchAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("wallet_address", "alias", "is_active", "last_activity", "created_at")
    list_display_links = ("wallet_address", "alias")
    list_filter = ("is_active",)
    search_fields = ("wallet_address", "alias", "description")
    actions = ("switch_on", "switch_off")
    fields = ("wallet_address", "alias", "description", "is_active", "last_activities", "last_facts")

    def get_readonly_fields(self, request: HttpRequest, obj: WhaleWatch | None = None) -> tuple[str, ...]:
        # A watch is identified by its wallet: activities refer to both.
        return ("last_activities", "last_facts", *(("wallet_address",) if obj else ()))

    def get_fields(self, request: HttpRequest, obj: WhaleWatch | None = None) -> tuple[str, ...]:
        return self.fields if obj else ("wallet_address", "alias", "description", "is_active")

    def get_queryset(self, request: HttpRequest) -> QuerySet[WhaleWatch]:
        latest = WhaleActivity.objects.filter(whale_id=OuterRef("pk")).values("timestamp")[:1]
        watches: QuerySet[WhaleWatch] = super().get_queryset(request)
        return watches.annotate(last_activity_at=Subquery(latest))

    @admin.display(description="last activity", ordering="last_activity_at")
    def last_activity(self, watch: Any) -> str:
        return isoformat(watch.last_activity_at) if watch.last_activity_at else "none yet"

    @admin.display(description=f"last {MAX_LISTED_ROWS} activities")
    def last_activities(self, watch: WhaleWatch) -> SafeString:
        rows = WhaleActivity.objects.filter(whale_id=watch.pk)[:MAX_LISTED_ROWS]
        return _table(
            ("time", "activity", "coin", "size", "USD"),
            [
                (isoformat(row.timestamp), row.activity_type, row.coin, f"{row.size:f}", f"{row.value_usd:f}")
                for row in rows
            ],
        )

    @admin.display(description=f"last {MAX_LISTED_ROWS} transactions and liquidations of the wallet")
    def last_facts(self, watch: WhaleWatch) -> SafeString:
        """Rows of the streams that activities derive from, newest first."""
        facts: list[tuple[Any, ...]] = []
        for name in WHALE_ACTIVITIES.derives_from:
            stream = get_stream(name)
            model: Any = stream.model
            rows = model.objects.filter(user_address=watch.wallet_address)[:MAX_LISTED_ROWS]
            facts += [(isoformat(getattr(row, stream.time)), name, str(row)) for row in rows]
        return _table(("time", "stream", "row"), sorted(facts, reverse=True)[:MAX_LISTED_ROWS])

    @admin.action(description="Switch on: watch these wallets")
    def switch_on(self, request: HttpRequest, queryset: QuerySet[WhaleWatch]) -> None:
        messages.success(request, f"{queryset.update(is_active=True)} switched on")

    @admin.action(description="Switch off: no new activities, existing ones stay")
    def switch_off(self, request: HttpRequest, queryset: QuerySet[WhaleWatch]) -> None:
        messages.success(request, f"{queryset.update(is_active=False)} switched off")


@admin.register(WhaleActivity)
class WhaleActivityAdmin(ReadOnlyAdmin):
    list_display = (
        "id",
        "timestamp",
        "activity_type",
        "coin",
        "size",
        "value_usd",
        "alias",
        wallet_link("wallet_address"),
    )
    list_filter = ("activity_type",)
    search_fields = ("wallet_address__exact", "coin__exact")
    search_help_text = "Exact wallet address or coin, in the venue's spelling"


def _table(titles: tuple[str, ...], rows: list[tuple[Any, ...]]) -> SafeString:
    if not rows:
        return format_html("none yet")
    head = format_html_join("", "<th>{}</th>", ((title,) for title in titles))
    lines = [format_html_join("", "<td>{}</td>", ((value,) for value in row)) for row in rows]
    body = format_html_join("", "<tr>{}</tr>", ((line,) for line in lines))
    return format_html("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>", head, body)
