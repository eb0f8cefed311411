"""Read-only admin pages for unbounded tables, without a full count."""

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
    """Counts up to MAX_COUNT rows. Older rows are found by search and filters."""

    @cached_property
    def count(self) -> int:
        queryset: Any = self.object_list
        return int(queryset.order_by()[:MAX_COUNT].count())


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Stored rows of a stream are immutable: clients rely on their numbers and bytes."""

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
    """A column with the abbreviated address in `field`, linked to a search for all rows of this wallet."""

    @admin.display(description="wallet")
    def abbreviated(row: Any) -> SafeString:
        address = getattr(row, field)
        return format_html('<a href="?q={0}" title="{0}">{1}…{2}</a>', address, address[:6], address[-4:])

    return abbreviated
