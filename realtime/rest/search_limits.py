"""Limits of a search: the number of rows that can match, from the roll-ups, and the time for finding them.

No index has the side of a row, so PostgreSQL reads all rows of a list to find that none has it. The roll-ups return
that number at once.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connection

from hyperwatch.api.errors import ServiceUnavailable
from hyperwatch.api.filters import Query
from hyperwatch.api.pagination import Cursor, time_field
from hyperwatch.db.statement_timeout import SearchBudget
from realtime.storage.rollups import TimeRange, count
from realtime.streams import get_stream

# Parameters for which the roll-ups have the exact total.
ROLLUP_PARAMS = {"coin", "side", "start_time", "end_time"}
# Parameters that an index covers, in the order in which an error suggests them.
SUGGESTIONS = {("coin",): "coin", ("user_address",): "user_address", ("start_time", "end_time"): "a time range"}


class MatchCount:
    """Number of rows that match the roll-up parameters of a request; other parameters can only lower it."""

    def __init__(self, stream: str, parameters: Mapping[str, Any]) -> None:
        self._stream = get_stream(stream)
        self._start, self._end = parameters.get("start_time"), parameters.get("end_time")
        self._coins, self._side = parameters.get("coin"), parameters.get("side")
        given = {name for name, value in parameters.items() if value is not None}
        self.is_exact = self._stream.rollup is not None and given <= ROLLUP_PARAMS
        # Indexes bound lists without a side: their searches end early without the number.
        self.has_side = self._stream.rollup is not None and self._side is not None
        self._total: int | None = None

    @property
    def total(self) -> int:
        if self._total is None:
            self._total = count(self._stream, TimeRange(self._start, self._end), self._coins, self._side)
        return self._total

    def limit_after(self, queryset: Query, cursor: Cursor | None, limit: int) -> int:
        """`limit`, or the number of rows after `cursor` if that is lower: a higher LIMIT would scan to the end."""
        if not self.has_side:
            return limit
        if cursor is None:
            return min(limit, self.total)
        earlier = count(self._stream, TimeRange(self._start, cursor.time), self._coins, self._side)
        of_this_time = queryset.filter(**{time_field(queryset): cursor.time}, id__lt=cursor.seq)
        same_time: int = of_this_time.order_by().count()
        return min(limit, earlier + same_time)


@contextmanager
def search_budget() -> Iterator[SearchBudget]:
    """Limits the queries within to SEARCH_TIMEOUT_SECONDS together."""
    budget = SearchBudget(settings.SEARCH_TIMEOUT_SECONDS)
    with connection.execute_wrapper(budget.execute):
        yield budget


def too_slow(accepted: Mapping[str, Any], parameters: Mapping[str, Any]) -> ServiceUnavailable:
    """The 503 of a search that exceeded its budget; names what makes it faster."""
    given = {name for name, value in parameters.items() if value is not None}
    missing = [text for names, text in SUGGESTIONS.items() if accepted.keys() & names and not given & {*names}]
    advice = f"add {' or '.join(filter(None, [', '.join(missing[:-1]), missing[-1]]))}" if missing else ""
    return ServiceUnavailable(
        f"the search took longer than {settings.SEARCH_TIMEOUT_SECONDS:g} seconds; {advice or 'narrow the time range'}"
    )
