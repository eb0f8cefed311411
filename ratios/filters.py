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

    def filter_queryset(self, queryset: Query) -> Query:
        return super().filter_queryset(queryset.newest_of_each_coin()).order_by("coin")


class HistoryFilter(StrictFilterSet):
    coin = CoinFilter()
    start_time = start_time("timestamp")
    end_time = end_time("timestamp")
    interval = ViewParameter(one_of(INTERVALS))

    def filter_queryset(self, queryset: Query) -> Query:
        asked = self.form.cleaned_data
        most = MOST if asked["start_time"] or asked["end_time"] else NEWEST
        ratios: Query = super().filter_queryset(queryset)
        return ratios.last_of_each(asked["interval"] or INTERVAL, most)
