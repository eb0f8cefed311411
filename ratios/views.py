from typing import Any

import msgspec
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from hyperwatch.api.envelope import AgePlaceholder
from hyperwatch.api.filters import Query
from ratios import filters, serializers
from realtime.rest.stream_viewset import StreamViewSet

INTERVAL = "1h"
# The newest intervals, and as many as a window of time may give.
NEWEST = 1_000
MOST = 10_000


class RatioViewSet(StreamViewSet):
    """How the market is positioned now."""

    stream = "long_short_ratios"
    cached_actions = frozenset({"current"})

    @action(
        detail=False,
        serializer_class=serializers.CurrentRatiosSerializer,
        filterset_class=filters.CurrentFilter,
        pagination_class=None,
    )
    def current(self, request: Request) -> Response:
        """The newest ratio of each coin."""
        ratios = [
            {**msgspec.structs.asdict(row), "age_seconds": AgePlaceholder(row.timestamp)} for row in self.fetch_rows()
        ]
        return self.respond(ratios=ratios)


class RatioHistoryViewSet(ListModelMixin, StreamViewSet):
    """The last ratio of each interval that has one, the newest first: the newest 1,000 intervals, or in a window
    of time the newest 10,000."""

    stream = "long_short_ratios"
    serializer_class = serializers.RatioSerializer
    filterset_class = filters.HistoryFilter
    _ratios: Query = None
    _found: list[int] | None = None

    def filter_queryset(self, queryset: Query) -> Query:
        self._ratios = super().filter_queryset(queryset)
        return self._ratios.last_of_each(*self._wanted)

    @property
    def _wanted(self) -> tuple[str, int]:
        """The length of the intervals, and how many of them at most."""
        asked = self.parameters
        return asked["interval"] or INTERVAL, MOST if asked["start_time"] or asked["end_time"] else NEWEST

    def bounded_count(self, queryset: Query) -> int:
        self._found = self._ratios.ids_of_last_of_each(*self._wanted)
        return len(self._found)

    def fetch_page(self, queryset: Query, limit: int, offset: int = 0) -> list[Any]:
        # Those that were found with the total, or in the index alone: of the others nothing is read.
        ids = queryset.values("id")[:limit] if self._found is None else self._found[offset : offset + limit]
        return self.fetch_rows(queryset.model._default_manager.filter(id__in=ids))
