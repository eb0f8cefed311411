from collections.abc import Mapping
from typing import Any

from hyperwatch.api.filters import (
    ParameterFilter,
    Query,
    StrictFilterSet,
    ViewParameter,
    end_time,
    start_time,
)
from hyperwatch.api.parameters import ADDRESS, AMOUNT, PRICE_RANGE, TIME_PARAMETER, one_of, whole_number
from hyperwatch.formats import Side
from realtime.rest.stream_viewset import CoinFilter, CoinsFilter

DEFAULT_RECENT_ROWS = 20
SIDE_PARAMETER = one_of(Side)


class LiquidationFilter(StrictFilterSet):
    coin = CoinsFilter()
    side = ParameterFilter(SIDE_PARAMETER)
    user_address = ParameterFilter(ADDRESS)
    min_value_usd = ParameterFilter(AMOUNT, "liquidation_value_usd", "gte")
    max_value_usd = ParameterFilter(AMOUNT, "liquidation_value_usd", "lte")
    start_time = start_time("block_timestamp")
    end_time = end_time("block_timestamp")


class RecentFilter(StrictFilterSet):
    coin = CoinsFilter()
    side = ParameterFilter(SIDE_PARAMETER)
    min_value_usd = ParameterFilter(AMOUNT, "liquidation_value_usd", "gte")
    limit = ViewParameter(whole_number(1, 100))


class StatsFilter(StrictFilterSet):
    coin = CoinsFilter()
    start_time = start_time("block_timestamp")
    end_time = end_time("block_timestamp")


class MapFilter(StrictFilterSet):
    # The existing dashboard sends these parameters (frontend.md); they change nothing.
    ignored_params = ("step", "window_seconds")

    coin = CoinFilter()
    timestamp = ParameterFilter(TIME_PARAMETER, "timestamp", "lte")
    price_range = ViewParameter(PRICE_RANGE)

    @classmethod
    def apply(cls, queryset: Query, params: Mapping[str, Any]) -> Query:
        return super().apply(queryset, params)[:1]
