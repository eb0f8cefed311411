from collections.abc import Mapping
from typing import Any

from hyperwatch.api.filters import Query, StrictFilterSet, ViewParameter, end_time, start_time
from hyperwatch.api.parameters import one_of
from ratios.models import INTERVALS
from realtime.reading import CoinFilter, CoinsFilter

INTERVAL = "1h"
# The newest intervals, and as many as a window of time may give.
NEWEST = 1_000
MOST = 10_000


class CurrentFilter(StrictFilterSet):
    coin = CoinsFilter()

    @classmethod
    def narrowed(cls, queryset: Query, asked: Mapping[str, Any]) -> Query:
        return super().narrowed(queryset.newest_of_each_coin(), asked).order_by("coin")


class HistoryFilter(StrictFilterSet):
    coin = CoinFilter()
    start_time = start_time("timestamp")
    end_time = end_time("timestamp")
    interval = ViewParameter(one_of(INTERVALS))

    @classmethod
    def narrowed(cls, queryset: Query, asked: Mapping[str, Any]) -> Query:
        most = MOST if asked["start_time"] or asked["end_time"] else NEWEST
        ratios: Query = super().narrowed(queryset, asked)
        return ratios.last_of_each(asked["interval"] or INTERVAL, most)
