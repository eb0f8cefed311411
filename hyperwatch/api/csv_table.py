"""Lists as CSV (RFC 4180, UTF-8): a header line with the contract's field names, then a line for each row.

A cell is the JSON text of the value without quotes: empty for null, JSON for nested values. Spreadsheets run cells
that begin with `=`, `+`, `-` or `@` as formulas. Such a cell gets a leading apostrophe, unless it is a number.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple, cast

from rest_framework.request import Request
from rest_framework.serializers import BaseSerializer, ListSerializer

from hyperwatch.api import clock, envelope
from hyperwatch.formats import NUMBER

FORMULA_STARTS = ("=", "+", "-", "@")
FORMAT = "csv"
MEDIA_TYPE = "text/csv"
CONTENT_TYPE = f"{MEDIA_TYPE}; charset=utf-8; header=present"
# Stream position, which JSON responses have in their data.
HEAD_HEADER = "X-Hyperwatch-Head"
EPOCH_HEADER = "X-Hyperwatch-Epoch"


class Table(NamedTuple):
    """The only list in the data of a view's response: its field name there, and its columns."""

    name: str
    columns: list[str]


def table_for(view: Any) -> Table | None:
    """None if the view's action returns no list, or several."""
    get_serializer_class = getattr(view, "get_serializer_class", None)
    serializer = get_serializer_class() if get_serializer_class else getattr(view, "serializer_class", None)
    if serializer is None or getattr(view, "detail", True) or view.action == "metadata":
        return None
    if view.pagination_class is None:
        return _nested_table(serializer)
    return Table("items", _columns(serializer)) if view.action == "list" else None


@cache
def _columns(serializer: type[BaseSerializer[Any]]) -> list[str]:
    return list(serializer().fields)  # type: ignore[attr-defined]


@cache
def _nested_table(serializer: type[BaseSerializer[Any]]) -> Table | None:
    fields: dict[str, Any] = serializer().fields  # type: ignore[attr-defined]
    lists = [
        (name, cast(Any, field).child.fields) for name, field in fields.items() if isinstance(field, ListSerializer)
    ]
    if len(lists) != 1:
        return None
    name, columns = lists[0]
    return Table(name, list(columns))


def is_csv(request: Request) -> bool:
    """Whether content negotiation selected CSV, by `?format=` or by the Accept header."""
    return bool(request.accepted_renderer.format == FORMAT)


def csv_headers(request: Request, position: Mapping[str, Any]) -> dict[str, str]:
    """Headers of a CSV response; `position` may have `head` and `epoch`."""
    # Path parameters are validated before the response, so the name contains no quote.
    name = "-".join(request.path.split("/")[3:])
    position_headers = {HEAD_HEADER: position.get("head"), EPOCH_HEADER: position.get("epoch")}
    return {
        "Content-Type": CONTENT_TYPE,
        "Content-Disposition": f'attachment; filename="{name}.csv"',
        **{header: str(value) for header, value in position_headers.items() if value is not None},
    }


def data_lines(columns: Sequence[str], rows: Sequence[Any]) -> bytes:
    """A line for each row; the rows are either all structs or all dicts."""
    getter = itemgetter if rows and isinstance(rows[0], dict) else attrgetter
    values = getter(*columns)
    return _csv_bytes(map(_cell, values(row)) for row in rows)


def header_line(columns: Sequence[str]) -> bytes:
    return _csv_bytes([columns])


def _csv_bytes(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA_STARTS) and not NUMBER.fullmatch(value) else value
    if isinstance(value, envelope.AgePlaceholder):
        value = clock.age_seconds(value.time, clock.now())
    # Removes the quotes of a time; JSON numbers, objects and lists neither begin nor end with one.
    return envelope.encode(value).decode().strip('"')
