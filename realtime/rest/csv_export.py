"""A stream's list as CSV: the whole of what is asked for, in constant memory.

Rows are read a chunk at a time, each by a query of its own that goes on behind the last row, and none beyond the head
that was read first. So nothing is held open while a client reads, however slowly; what arrives meanwhile is not in it;
and no row is lost or told twice. (What retention removes before it is reached is gone.)
"""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import StreamingHttpResponse
from rest_framework.request import Request

from hyperwatch.api import csv_table
from hyperwatch.api.filters import Query
from hyperwatch.api.pagination import ReadPoint, rows_after, time_field
from hyperwatch.db.executor import DatabaseExecutor

CHUNK = 2_000

# So many pieces are made at a time, of whatever number of exports.
_threads = DatabaseExecutor("export", 4, timeout_seconds=settings.DATABASE_STATEMENT_TIMEOUT_SECONDS)


class Export:
    """Rows of `queryset`, which `finish` makes structs of; the first of them are read at once, with the head."""

    def __init__(self, queryset: Query, finish: Callable[[Iterable[Any]], list[Any]]) -> None:
        self._queryset = queryset
        self._finish = finish
        self._time = time_field(queryset)
        self.first = finish(queryset[:CHUNK])

    def response(self, request: Request, columns: Sequence[str], snapshot: ReadPoint) -> StreamingHttpResponse:
        pieces = self._pieces(columns) if request.method == "GET" else iter(())
        # Django would collect the whole of an iterator of the other kind.
        content = _in_threads(pieces) if isinstance(request._request, ASGIRequest) else pieces
        return StreamingHttpResponse(content, headers=csv_table.csv_headers(request, snapshot._asdict()))

    def _pieces(self, columns: Sequence[str]) -> Iterator[bytes]:
        yield csv_table.header_line(columns)
        rows, self.first = self.first, []
        while rows:
            last = rows[-1] if len(rows) == CHUNK else None
            piece = csv_table.data_lines(columns, rows)
            # While a slow client takes it, the text waits and not the rows as well, which are five times as large.
            rows.clear()
            yield piece
            rows = self._after(last) if last else []

    def _after(self, last: Any) -> list[Any]:
        return self._finish(rows_after(self._queryset, getattr(last, self._time), last.seq)[:CHUNK])


async def _in_threads(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Each piece is made when the one before it was taken; between two no thread is held."""
    while piece := await _threads.run(next, pieces, b""):
        yield piece
