from collections.abc import Mapping
from typing import Any

from hyperwatch.api.filters import Query, StrictFilterSet, ViewParameter, end_time, start_time
from hyperwatch.api.parameters import one_of
from ratios.models import INTERVALS
from realtime.rest.stream_viewset import CoinFilter, CoinsFilter


class CurrentFilter(StrictFilterSet):
    coin = CoinsFilter()

    @classmethod
    def apply(cls, queryset: Query, params: Mapping[str, Any]) -> Query:
        return queryset.latest_per_coin(params["coin"]).order_by("coin")


class HistoryFilter(StrictFilterSet):
    coin = CoinFilter()
    start_time = start_time("timestamp")
    end_time = end_time("timestamp")
    interval = ViewParameter(one_of(INTERVALS))
