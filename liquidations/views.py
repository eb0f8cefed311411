from typing import Any

import msgspec
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from hyperwatch.api.envelope import AgePlaceholder
from hyperwatch.api.parameters import did_you_mean
from hyperwatch.formats import output_time
from liquidations import events, filters, serializers
from realtime.rest.stream_viewset import StreamViewSet
from realtime.storage import sequences


@extend_schema(tags=["Liquidations"])
@extend_schema_view(
    list=extend_schema(
        operation_id="listLiquidations",
        summary="List liquidations",
        description="Returns liquidations that match all filters, newest first. A page has at most 100 rows, and pages "
        "reach to row 10,000; `cursor` reads further. CSV returns all matching rows.",
    )
)
class LiquidationViewSet(ListModelMixin, StreamViewSet):
    """Liquidated positions, newest first."""

    stream = "liquidations"
    serializer_class = serializers.LiquidationSerializer
    filterset_class = filters.LiquidationFilter
    cached_actions = frozenset({"recent", "stats"})
    selective_params = frozenset({"min_value_usd", "max_value_usd"})

    @extend_schema(
        operation_id="listRecentLiquidations",
        summary="List recent liquidations",
        description="Returns the newest liquidations that match all filters: 20 by default, at most 100.",
    )
    @action(
        detail=False,
        serializer_class=serializers.RecentLiquidationsSerializer,
        filterset_class=filters.RecentFilter,
        pagination_class=None,
    )
    def recent(self, request: Request) -> Response:
        rows = self.fetch_page(self.filtered(), self.parameters["limit"] or filters.DEFAULT_RECENT_ROWS)
        return self.respond(liquidations=rows)

    @extend_schema(
        operation_id="getLiquidationStats",
        summary="Get liquidation statistics",
        description="Returns number and value of the liquidations in a time window, in total, by side and by coin. "
        "Without `start_time` and `end_time` it covers all stored data, which begins at `since`.",
    )
    @action(
        detail=False,
        serializer_class=serializers.LiquidationStatsSerializer,
        filterset_class=filters.StatsFilter,
        pagination_class=None,
    )
    def stats(self, request: Request) -> Response:
        totals = self.totals()
        fields: dict[str, Any] = {}
        for name, rollup in zip(("total", "long", "short"), (totals.total, *totals.by_side), strict=True):
            fields |= {f"{name}_liquidations": rollup.facts, f"{name}_liquidation_value_usd": rollup.value}
        by_coin = {coin: {"count": facts, "value_usd": value} for coin, facts, value in totals.by_coin}
        return self.respond(**fields, by_coin=by_coin, since=totals.since and output_time(totals.since))


class LiquidationMapViewSet(StreamViewSet):
    """Open position value by liquidation price: the newest map of a coin."""

    stream = "liquidation_map"
    serializer_class = serializers.CurrentMapSerializer
    filterset_class = filters.MapFilter
    pagination_class = None
    cached_actions = frozenset({"list"})

    @extend_schema(
        operation_id="getLiquidationMap",
        summary="Get the liquidation map of a coin",
        description="Returns value and number of open positions by liquidation price, ascending: of the newest "
        "map, or of the newest one at or before `timestamp`. Returns 404 if the coin has no map at that time.",
        tags=["Liquidations"],
    )
    def list(self, request: Request) -> Response:
        rows: list[Any] = self.fetch_rows()
        if not rows:
            raise NotFound(self._not_found_text())
        row = events.restrict_to(rows[0], self.parameters["price_range"])
        return self.respond(**msgspec.structs.asdict(row), age_seconds=AgePlaceholder(row.timestamp))

    def _not_found_text(self) -> str:
        if self.parameters["coin"]:
            return "no liquidation map of this coin at or before this time"
        name = self.request.query_params["coin"]
        return f"no liquidation map of {name}: a coin without data{did_you_mean(name, sequences.latest_by_coin())}"
