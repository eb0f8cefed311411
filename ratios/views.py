import msgspec
from rest_framework.decorators import action
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from hyperwatch.api.envelope import Age
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
