"""Pages by number, with a total; or by cursor, which stays right while rows arrive."""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import msgspec
from django.db.models import Q, QuerySet
from django.http import QueryDict
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response

from hyperwatch.api.parameters import BIGINT, ID, Parameter, invalid_parameter, whole_number

PAGE_SIZE = 20
PAGE_SIZES = whole_number(1, 100)
# As far as rows are counted and pages numbered.
MAX_OFFSET = 10_000


class ReadPoint(NamedTuple):
    """What an answer is made from: the stream as far as `head`, in one life of the database."""

    head: int
    epoch: str


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The place after a page: its last row, and the snapshot that the walk began with."""

    epoch: str
    head: int
    time: datetime
    seq: int

    def text(self) -> str:
        return base64.urlsafe_b64encode(msgspec.msgpack.encode(self)).rstrip(b"=").decode()

    @classmethod
    def read(cls, text: str, now: ReadPoint) -> "Cursor":
        """Raises ValueError for what none of this epoch's answers gave."""
        packed = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
        cursor = _unpack(packed)
        told = cursor.epoch == now.epoch and 0 <= cursor.head <= now.head and 0 <= cursor.seq <= BIGINT
        if not told or cursor.time.utcoffset() != timedelta():
            raise ValueError
        return cursor


_unpack = msgspec.msgpack.Decoder(Cursor).decode


def place(now: ReadPoint) -> Parameter[Cursor]:
    """What `cursor` takes; without a value it starts a walk."""
    takes = "a next_cursor of an earlier answer, or nothing to start"
    return Parameter(partial(Cursor.read, now=now), takes, {"type": "string"})


def time_of(queryset: QuerySet[Any]) -> str:
    """The field by which a list of facts is ordered before `id`."""
    return str(queryset.model._meta.ordering[0]).lstrip("-")


def after_place(queryset: QuerySet[Any], time: datetime, seq: int) -> QuerySet[Any]:
    """What of a list of facts comes behind one of them."""
    field = time_of(queryset)
    # The bound on the time alone is what the index is entered by.
    return queryset.filter(Q(**{f"{field}__lt": time}) | Q(id__lt=seq), **{f"{field}__lte": time})


def reject_pages(query: QueryDict) -> None:
    """A 400 for whoever asks for the whole of a list, and for a page of it too."""
    if given := [name for name in TAKES if name in query]:
        raise ValidationError({name: [f"{name} is not taken for CSV, which gives the whole list"] for name in given})


class HybridPagination(BasePagination):
    """`page` and `page_size`, or `cursor`. The view says what its answer is made from (`snapshot`) and, where it
    knows, the `total`, and hands the finished rows back: each has `seq` and its time."""

    cursor: Cursor | None = None
    is_walk = False
    size = PAGE_SIZE
    next_is_there = False

    def pin(self, request: Request, now: ReadPoint) -> ReadPoint:
        """The snapshot that the answer is made from: a walk stays with the one that it began with."""
        self.is_walk = "cursor" in request.query_params
        if self.is_walk:
            self.cursor = place(now).from_query(request.query_params, "cursor", None)
        return ReadPoint(self.cursor.head, now.epoch) if self.cursor else now

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        self.view = view
        self.snapshot: ReadPoint = view.snapshot
        self.size = PAGE_SIZES.from_query(request.query_params, "page_size", PAGE_SIZE)
        self.time = time_of(queryset)
        return self._by_cursor(queryset) if self.is_walk else self._numbered(queryset, request, view)

    def _by_cursor(self, queryset: QuerySet[Any]) -> list[Any]:
        rows = list(self.view.fetch_page(self._after(queryset), self.size + 1))
        self.next_is_there = len(rows) > self.size
        return rows[: self.size]

    def _after(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return after_place(queryset, self.cursor.time, self.cursor.seq) if self.cursor else queryset

    def _numbered(self, queryset: QuerySet[Any], request: Request, view: Any) -> list[Any]:
        self.page = ID.from_query(request.query_params, "page", 1)
        begin = (self.page - 1) * self.size
        if begin >= MAX_OFFSET:
            raise invalid_parameter("page", f"begins beyond row {MAX_OFFSET}; walk there with cursor=")
        self.total, self.total_exact = _count(queryset, view)
        if begin and begin >= self.total:
            raise NotFound(f"there are {self.total} rows, and page {self.page} is past the end")
        # Nobody looks for more than there are, to the end of an index.
        most = min(self.size, self.total - begin) if self.total_exact else self.size
        return list(view.fetch_page(queryset, most, begin)) if most else []

    def get_paginated_response(self, data: Sequence[Any]) -> Response:
        told = self._cursor_links(data) if self.is_walk else self._page_links()
        return Response({"items": data, "pagination": {**told, "page_size": self.size}})

    def _page_links(self) -> dict[str, Any]:
        return {
            "page": self.page,
            "total": self.total,
            "total_pages": -(-self.total // self.size),
            "total_exact": self.total_exact,
        }

    def _cursor_links(self, data: Sequence[Any]) -> dict[str, Any]:
        if not self.next_is_there:
            return {"next_cursor": None}
        last = data[-1]
        cursor = Cursor(self.snapshot.epoch, self.snapshot.head, getattr(last, self.time), last.seq)
        return {"next_cursor": cursor.text()}

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
        return [{"name": name, **told} for name, told in TAKES.items()]


def _count(queryset: QuerySet[Any], view: Any) -> tuple[int, bool]:
    """The total, and whether it is the whole of it: rows are counted as far as DEEPEST unless that is cheap."""
    total = view.total()
    if total is not None:
        return total, True
    counted = view.bounded_count(queryset)
    return min(counted, MAX_OFFSET), counted <= MAX_OFFSET


def _parameter(takes: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"in": "query", "required": False, "description": takes, "schema": dict(schema)}


TAKES = {
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

_WHOLE = {"type": "integer", "minimum": 0}
PAGE_SCHEMA = {
    "type": "object",
    "required": ["page", "page_size", "total", "total_pages", "total_exact"],
    "properties": {
        "page": _WHOLE,
        "page_size": _WHOLE,
        "total": _WHOLE,
        "total_pages": _WHOLE,
        "total_exact": {"type": "boolean", "description": f"false: there are more than {MAX_OFFSET}"},
    },
}
CURSOR_SCHEMA = {
    "type": "object",
    "required": ["next_cursor", "page_size"],
    "properties": {
        "next_cursor": {"type": "string", "nullable": True, "description": "null at the end"},
        "page_size": _WHOLE,
    },
}
