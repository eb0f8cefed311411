"""Pagination by page number with a total, or by cursor, which stays consistent while rows are inserted."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, TypeVar

import msgspec
from django.db.models import Q, QuerySet
from django.http import QueryDict
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from hyperwatch.api.parameters import BIGINT, ID, PAGE_SIZES, Parameter, invalid_parameter
from hyperwatch.formats import encode_time

Rows = TypeVar("Rows", bound=QuerySet[Any])

PAGE_SIZE = 20
# Limit of counted rows and of numbered pages.
MAX_OFFSET = 10_000


class ReadPoint(NamedTuple):
    """The rows visible to a response: the stream up to `head`, in one epoch of the database."""

    head: int
    epoch: str


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The position after a page: its last row, and the read point of the first page."""

    epoch: str
    head: int
    time: datetime
    seq: int

    def encode(self) -> str:
        return base64.urlsafe_b64encode(msgspec.msgpack.encode(self, enc_hook=encode_time)).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str, current: ReadPoint) -> "Cursor":
        """Raises ValueError for a text that no response of this epoch can have returned."""
        packed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
        cursor = _unpack(packed)
        is_valid = cursor.epoch == current.epoch and 0 <= cursor.head <= current.head and 0 <= cursor.seq <= BIGINT
        if not is_valid or cursor.time.utcoffset() != timedelta():
            raise ValueError
        return cursor


_unpack = msgspec.msgpack.Decoder(Cursor).decode


def cursor_parameter(current: ReadPoint) -> Parameter[Cursor]:
    """The `cursor` parameter; without a value it requests the first page."""
    takes = "the next_cursor of an earlier response, or an empty text for the first page"
    return Parameter(partial(Cursor.decode, current=current), takes, {"type": "string"})


def time_field(queryset: QuerySet[Any]) -> str:
    """The field by which a list of facts is ordered before `id`."""
    return str(queryset.model._meta.ordering[0]).lstrip("-")


def rows_after(queryset: QuerySet[Any], time: datetime, seq: int) -> QuerySet[Any]:
    """The rows of a list after the row with this time and seq."""
    field = time_field(queryset)
    # PostgreSQL uses the index only for the bound on the time alone, not for the OR.
    return queryset.filter(Q(**{f"{field}__lt": time}) | Q(id__lt=seq), **{f"{field}__lte": time})


def reject_pages(query: QueryDict) -> None:
    """Raises a 400 for pagination parameters of a CSV request, which returns the whole list."""
    if names := [name for name in QUERY_PARAMETERS if name in query]:
        raise ValidationError(
            {name: [f"{name} is not accepted for CSV, which returns the whole list"] for name in names}
        )


def numbered_page(rows: Rows, params: Mapping[str, Any]) -> tuple[Rows, dict[str, Any]]:
    """The page of `rows` with the parameters `page` and `page_size`, and its `pagination`; for lists without cursor."""
    page, size = params.get("page") or 1, params.get("page_size") or PAGE_SIZE
    offset = (page - 1) * size
    if offset >= MAX_OFFSET:
        raise invalid_parameter("page", f"begins beyond row {MAX_OFFSET}; use filters, or format=csv for all rows")
    counted = rows.order_by().values("pk")[: MAX_OFFSET + 1].count()
    total = min(counted, MAX_OFFSET)
    _reject_past_end(page, offset, total)
    return rows[offset : offset + size], _links(page, size, total, total_exact=counted <= MAX_OFFSET)


def _reject_past_end(page: int, offset: int, total: int) -> None:
    if offset and offset >= total:
        raise NotFound(f"page {page} is past the end of {total} rows")


def _links(page: int, size: int, total: int, *, total_exact: bool) -> dict[str, Any]:
    pages = -(-total // size)
    return {"page": page, "page_size": size, "total": total, "total_pages": pages, "total_exact": total_exact}


class HybridPagination(BasePagination):
    """`page` and `page_size`, or `cursor`.

    The view has a read point (`snapshot`), `total()` (None if unknown), `bounded_count()`, `limit_after()`, the limit
    of the page after a cursor, and `fetch_page()`, which returns row structs with `seq` and their time.
    """

    cursor: Cursor | None = None
    is_by_cursor = False
    size = PAGE_SIZE
    has_next = False

    def pin(self, request: Request, current: ReadPoint) -> ReadPoint:
        """The read point of the response: with a cursor, that of the first page."""
        self.is_by_cursor = "cursor" in request.query_params
        if self.is_by_cursor:
            self.cursor = cursor_parameter(current).from_query(request.query_params, "cursor", None)
        return ReadPoint(self.cursor.head, current.epoch) if self.cursor else current

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.view = view
        self.snapshot: ReadPoint = view.snapshot
        self.size = PAGE_SIZES.from_query(request.query_params, "page_size", PAGE_SIZE)
        self.time = time_field(queryset)
        return self._by_cursor(queryset) if self.is_by_cursor else self._by_number(queryset, request, view)

    def _by_cursor(self, queryset: QuerySet[Any]) -> list[Any]:
        limit = self.view.limit_after(queryset, self.cursor, self.size + 1)
        rows = list(self.view.fetch_page(self._after(queryset), limit)) if limit else []
        self.has_next = len(rows) > self.size
        return rows[: self.size]

    def _after(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return rows_after(queryset, self.cursor.time, self.cursor.seq) if self.cursor else queryset

    def _by_number(self, queryset: QuerySet[Any], request: Request, view: Any) -> list[Any]:
        self.page = ID.from_query(request.query_params, "page", 1)
        offset = (self.page - 1) * self.size
        if offset >= MAX_OFFSET:
            raise invalid_parameter("page", f"begins beyond row {MAX_OFFSET}; use cursor= for later rows")
        self.total, self.total_exact = _count(queryset, view)
        _reject_past_end(self.page, offset, self.total)
        # A LIMIT above the number of remaining rows would scan the index to its end.
        limit = min(self.size, self.total - offset) if self.total_exact else self.size
        return list(view.fetch_page(queryset, limit, offset)) if limit else []

    def get_paginated_response(self, data: Sequence[Any]) -> Response:
        if self.is_by_cursor:
            links = {"next_cursor": self._next_cursor(data), "page_size": self.size}
        else:
            links = _links(self.page, self.size, self.total, total_exact=self.total_exact)
        return Response({"items": data, "pagination": links})

    def _next_cursor(self, data: Sequence[Any]) -> str | None:
        if not self.has_next:
            return None
        last = data[-1]
        return Cursor(self.snapshot.epoch, self.snapshot.head, getattr(last, self.time), last.seq).encode()

    def get_results(self, data: Mapping[str, Any]) -> Any:
        return data["items"]

    def get_paginated_response_schema(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["items", "pagination", "head", "epoch"],
            "properties": {
                "items": schema,
                "pagination": {"anyOf": [PAGE_SCHEMA, CURSOR_SCHEMA]},
                "head": {"type": "integer", "minimum": 0, "description": "newest `seq` that the response can contain"},
                "epoch": {"type": "string", "description": "a different epoch means that `seq` starts again"},
            },
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [{"name": name, **parameter} for name, parameter in QUERY_PARAMETERS.items()]


def _count(queryset: QuerySet[Any], view: Any) -> tuple[int, bool]:
    """The total, and whether it is exact: counts up to MAX_OFFSET rows unless the view knows the total."""
    total = view.total()
    if total is not None:
        return total, True
    counted = view.bounded_count(queryset)
    return min(counted, MAX_OFFSET), counted <= MAX_OFFSET


def _parameter(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"in": "query", "required": False, "description": description, "schema": dict(schema)}


QUERY_PARAMETERS = {
    "page": _parameter(
        f"{ID.takes.capitalize()}. One that begins beyond row {MAX_OFFSET} is refused, and so is any for CSV.",
        {**ID.schema, "default": 1},
    ),
    "page_size": _parameter(
        f"{PAGE_SIZES.takes.capitalize()}. Not for CSV.", {**PAGE_SIZES.schema, "default": PAGE_SIZE}
    ),
    "cursor": _parameter(
        "In place of `page`, which then counts for nothing: empty to start a walk that stays right while rows "
        "arrive, then each answer's `next_cursor`. Not for CSV, which gives the whole list.",
        {"type": "string"},
    ),
}

_WHOLE_NUMBER = {"type": "integer", "minimum": 0}
PAGE_SCHEMA = {
    "type": "object",
    "required": ["page", "page_size", "total", "total_pages", "total_exact"],
    "properties": {
        "page": _WHOLE_NUMBER,
        "page_size": _WHOLE_NUMBER,
        "total": _WHOLE_NUMBER,
        "total_pages": _WHOLE_NUMBER,
        "total_exact": {"type": "boolean", "description": f"false: there are more than {MAX_OFFSET}"},
    },
}
CURSOR_SCHEMA = {
    "type": "object",
    "required": ["next_cursor", "page_size"],
    "properties": {
        "next_cursor": {"type": "string", "nullable": True, "description": "null at the end"},
        "page_size": _WHOLE_NUMBER,
    },
}
