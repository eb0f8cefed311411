"""Admin pages for tables that grow without end: to be read, and never counted whole."""

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import Model
from django.http import HttpRequest
from django.utils.functional import cached_property

MOST = 10_000


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts to 10,000 and no further: who looks for an older row searches or filters."""

    @cached_property
    def count(self) -> int:
        queryset: Any = self.object_list
        return int(queryset.order_by()[:MOST].count())


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
