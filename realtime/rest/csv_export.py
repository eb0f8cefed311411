"""CSV export of a stream's list: all matching rows, in constant memory.

Keyset pagination: each chunk is a query of its own that continues after the last row, up to the head of the first
query. No transaction or cursor is open while a slow client reads, and no row is lost or repeated. Rows stored after
the first query are not included. Rows that retention removes before their chunk are missing.
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

CHUNK_ROWS = 2_000

# At most four chunks at a time, for all exports of the process together.
_executor = DatabaseExecutor("export", 4, timeout_seconds=settings.DATABASE_STATEMENT_TIMEOUT_SECONDS)


class Export:
    """The rows of an ordered queryset as CSV.

    The constructor reads the first chunk, in the same snapshot as the head. `to_structs` converts rows to structs.
    At most `max_rows` rows match, if known: a higher LIMIT would scan all rows after the last match.
    """

    def __init__(
        self, queryset: Query, to_structs: Callable[[Iterable[Any]], list[Any]], max_rows: int | None = None
    ) -> None:
        self._queryset = queryset
        self._to_structs = to_structs
        self._time_field = time_field(queryset)
        self._rows_left = max_rows
        self.first_chunk = self._read(queryset)

    def response(self, request: Request, columns: Sequence[str], snapshot: ReadPoint) -> StreamingHttpResponse:
        chunks = self._chunks(columns) if request.method == "GET" else iter(())
        # Django consumes a synchronous iterator completely under ASGI, and an asynchronous one under WSGI.
        content = _in_threads(chunks) if isinstance(request._request, ASGIRequest) else chunks
        return StreamingHttpResponse(content, headers=csv_table.csv_headers(request, snapshot._asdict()))

    def _chunks(self, columns: Sequence[str]) -> Iterator[bytes]:
        yield csv_table.header_line(columns)
        rows, self.first_chunk = self.first_chunk, []
        while rows:
            last = rows[-1] if len(rows) == CHUNK_ROWS else None
            chunk = csv_table.data_lines(columns, rows)
            # While a slow client reads, only the text stays in memory: the rows are five times as large.
            rows.clear()
            yield chunk
            rows = self._rows_after(last) if last else []

    def _rows_after(self, last: Any) -> list[Any]:
        return self._read(rows_after(self._queryset, getattr(last, self._time_field), last.seq))

    def _read(self, queryset: Query) -> list[Any]:
        if self._rows_left is None:
            return self._to_structs(queryset[:CHUNK_ROWS])
        rows = self._to_structs(queryset[: min(CHUNK_ROWS, self._rows_left)]) if self._rows_left else []
        self._rows_left -= len(rows)
        return rows


async def _in_threads(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Produces each chunk once the one before it was sent; in between no thread is occupied."""
    while chunk := await _executor.run(next, chunks, b""):
        yield chunk
