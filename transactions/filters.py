from hyperwatch.api.filters import (
    ParameterFilter,
    StrictFilterSet,
    ViewParameter,
    end_time,
    page_number,
    page_size,
    start_time,
)
from hyperwatch.api.parameters import ADDRESS, HASH, one_of
from hyperwatch.formats import TransactionSide
from realtime.rest.stream_viewset import CoinsFilter
from transactions.events import TransactionType


class TransactionFilter(StrictFilterSet):
    user_address = ParameterFilter(ADDRESS)
    coin = CoinsFilter()
    side = ParameterFilter(one_of(TransactionSide))
    tx_type = ParameterFilter(one_of(TransactionType))
    tx_hash = ParameterFilter(HASH)
    start_time = start_time("block_timestamp")
    end_time = end_time("block_timestamp")


class PositionFilter(StrictFilterSet):
    """Filters position summaries by coin; the view filters their positions by user address."""

    user_address = ViewParameter(ADDRESS)
    coin = CoinsFilter()
    page = page_number()
    page_size = page_size()
