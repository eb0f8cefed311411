"""Admin pages for tables that grow without end: to be read, and never counted whole."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString

MAX_COUNT = 10_000


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts to 10,000 and no further: who looks for an older row searches or filters."""

    @cached_property
    def count(self) -> int:
        queryset: Any = self.object_list
        return int(queryset.order_by()[:MAX_COUNT].count())


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """What the stream has stored is nobody's to change: its numbers and bytes are promised to others."""

    paginator = CappedPaginator
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


def wallet_link(field: str) -> Callable[[Any], SafeString]:
    """A column for the address in `field`: short, so that amounts have room, and a link to all that it did."""

    @admin.display(description="wallet")
    def shortened(row: Any) -> SafeString:
        address = getattr(row, field)
        return format_html('<a href="?q={0}" title="{0}">{1}…{2}</a>', address, address[:6], address[-4:])

    return shortened
