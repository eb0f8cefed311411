from typing import Any

import msgspec
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from hyperwatch.api.envelope import AgePlaceholder
from hyperwatch.api.filters import Query
from ratios import filters, serializers
from realtime.rest.stream_viewset import StreamViewSet

DEFAULT_INTERVAL = "1h"
# Limits of the history: without a time filter, and with one
DEFAULT_INTERVALS = 1_000
MAX_INTERVALS = 10_000


class RatioViewSet(StreamViewSet):
    """Current long/short ratios."""

    stream = "long_short_ratios"
    cached_actions = frozenset({"current"})

    @extend_schema(
        operation_id="listCurrentRatios",
        summary="List current long/short ratios",
        description="Returns the newest ratio of each coin, ordered by coin, with its age in seconds.",
        tags=["Ratios"],
    )
    @action(
        detail=False,
        serializer_class=serializers.CurrentRatiosSerializer,
        filterset_class=filters.CurrentFilter,
        pagination_class=None,
    )
    def current(self, request: Request) -> Response:
        ratios = [
            {**msgspec.structs.asdict(row), "age_seconds": AgePlaceholder(row.timestamp)} for row in self.fetch_rows()
        ]
        return self.respond(ratios=ratios)


@extend_schema_view(
    list=extend_schema(
        operation_id="listRatioHistory",
        summary="List the ratio history of a coin",
        description="Returns the last ratio of each interval, newest first; intervals without a ratio are omitted. "
        "Covers the newest 1,000 intervals, or with `start_time` or `end_time` the newest 10,000 in the window.",
        tags=["Ratios"],
    )
)
class RatioHistoryViewSet(ListModelMixin, StreamViewSet):
    """Last ratio of each interval, newest first: the newest 1,000 intervals, or the newest 10,000 in a window."""

    stream = "long_short_ratios"
    serializer_class = serializers.RatioSerializer
    filterset_class = filters.HistoryFilter
    _ratios: Query = None
    _ids: list[int] | None = None

    def filter_queryset(self, queryset: Query) -> Query:
        self._ratios = super().filter_queryset(queryset)
        return self._ratios.latest_per_interval(*self._interval_and_limit)

    @property
    def _interval_and_limit(self) -> tuple[str, int]:
        params = self.parameters
        has_window = params["start_time"] or params["end_time"]
        return params["interval"] or DEFAULT_INTERVAL, MAX_INTERVALS if has_window else DEFAULT_INTERVALS

    def bounded_count(self, queryset: Query) -> int:
        self._ids = self._ratios.latest_ids_per_interval(*self._interval_and_limit)
        return len(self._ids)

    def fetch_page(self, queryset: Query, limit: int, offset: int = 0) -> list[Any]:
        # Reads only the page's rows: their ids come from the count, or from an index-only scan.
        ids = queryset.values("id")[:limit] if self._ids is None else self._ids[offset : offset + limit]
        return self.fetch_rows(queryset.model._default_manager.filter(id__in=ids))
