from typing import Any

import msgspec
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from hyperwatch.api.envelope import Age
from hyperwatch.api.filters import Query
from ratios import filters, serializers
from realtime.reading import StreamViewSet


class RatioViewSet(StreamViewSet):
    """How the market is positioned now."""

    stream = "long_short_ratios"
    kept = frozenset({"current"})

    @action(
        detail=False,
        serializer_class=serializers.CurrentRatiosSerializer,
        filterset_class=filters.CurrentFilter,
        pagination_class=None,
    )
    def current(self, request: Request) -> Response:
        """The newest ratio of each coin."""
        ratios = [{**msgspec.structs.asdict(row), "age_seconds": Age(row.timestamp)} for row in self.rows()]
        return self.answer(ratios=ratios)


class RatioHistoryViewSet(ListModelMixin, StreamViewSet):
    """The last ratio of each interval that has one, the newest first: the newest 1,000 intervals, or in a window
    of time the newest 10,000."""

    stream = "long_short_ratios"
    serializer_class = serializers.RatioSerializer
    filterset_class = filters.HistoryFilter
    _found: list[int] | None = None

    def matching(self, queryset: Query) -> int:
        self._found = list(queryset.values_list("id", flat=True))
        return len(self._found)

    def newest(self, queryset: Query, most: int, begin: int = 0) -> list[Any]:
        if self._found is None:
            return super().newest(queryset, most, begin)
        # They were found with the total.
        return self.rows(queryset.model._default_manager.filter(id__in=self._found[begin : begin + most]))
