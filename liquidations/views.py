from typing import Any

import msgspec
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from hyperwatch.api.envelope import AgePlaceholder
from liquidations import events, filters, serializers
from realtime.rest.stream_viewset import StreamViewSet


class LiquidationViewSet(ListModelMixin, StreamViewSet):
    """Liquidated positions, the newest first."""

    stream = "liquidations"
    serializer_class = serializers.LiquidationSerializer
    filterset_class = filters.LiquidationFilter
    cached_actions = frozenset({"recent", "stats"})
    selective_params = frozenset({"min_value_usd", "max_value_usd"})

    @action(
        detail=False,
        serializer_class=serializers.RecentLiquidationsSerializer,
        filterset_class=filters.RecentFilter,
        pagination_class=None,
    )
    def recent(self, request: Request) -> Response:
        """The newest liquidations."""
        rows = self.fetch_page(self.filtered(), self.parameters["limit"] or filters.DEFAULT_RECENT_ROWS)
        return self.respond(liquidations=rows)

    @action(
        detail=False,
        serializer_class=serializers.LiquidationStatsSerializer,
        filterset_class=filters.StatsFilter,
        pagination_class=None,
    )
    def stats(self, request: Request) -> Response:
        """How many and how much, by side and by coin."""
        totals = self.totals()
        fields: dict[str, Any] = {}
        for name, rollup in zip(("total", "long", "short"), (totals.total, *totals.by_side), strict=True):
            fields |= {f"{name}_liquidations": rollup.facts, f"{name}_liquidation_value_usd": rollup.value}
        by_coin = {coin: {"count": facts, "value_usd": value} for coin, facts, value in totals.by_coin}
        return self.respond(**fields, by_coin=by_coin, since=totals.since)


class LiquidationMapViewSet(StreamViewSet):
    """Where the positions of a coin would be liquidated, by price level: the newest map."""

    stream = "liquidation_map"
    serializer_class = serializers.CurrentMapSerializer
    filterset_class = filters.MapFilter
    pagination_class = None
    cached_actions = frozenset({"list"})

    def list(self, request: Request) -> Response:
        rows: list[Any] = self.fetch_rows()
        if not rows:
            raise NotFound("no liquidation map of this coin at or before this time")
        row = events.restrict_to(rows[0], self.parameters["price_range"])
        return self.respond(**msgspec.structs.asdict(row), age_seconds=AgePlaceholder(row.timestamp))
