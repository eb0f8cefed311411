"""Lists as CSV (RFC 4180, UTF-8): a line of the contract's field names, then a line for each row.

A cell is exactly the text that JSON has of the value, without its quotes: nothing for null, JSON for what is nested.
Some of these texts look like formulas to a spreadsheet (`-1.25000000`, `@107`, an alias that begins with `=`). They
go out as they are: a sign or a quote put before them would make other amounts and other coins of them, and who reads
an export by a program gets what JSON would have said. So import the columns as text.
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

FORMAT = "csv"
MEDIA_TYPE = "text/csv"
CONTENT_TYPE = f"{MEDIA_TYPE}; charset=utf-8; header=present"
# What the envelope says of JSON.
HEAD_HEADER = "X-Hyperwatch-Head"
EPOCH_HEADER = "X-Hyperwatch-Epoch"


class Table(NamedTuple):
    """The one list in a view's answer: the name that it has there, and its columns."""

    name: str
    columns: list[str]


def table_for(view: Any) -> Table | None:
    """None where what a view is asked for is no list, or more than one."""
    ask = getattr(view, "get_serializer_class", None)
    serializer = ask() if ask else getattr(view, "serializer_class", None)
    if serializer is None or getattr(view, "detail", True) or view.action == "metadata":
        return None
    if view.pagination_class is None:
        return _table_in(serializer)
    return Table("items", _columns_of(serializer)) if view.action == "list" else None


@cache
def _columns_of(serializer: type[BaseSerializer[Any]]) -> list[str]:
    return list(serializer().fields)  # type: ignore[attr-defined]


@cache
def _table_in(serializer: type[BaseSerializer[Any]]) -> Table | None:
    fields: dict[str, Any] = serializer().fields  # type: ignore[attr-defined]
    lists = [(name, cast(Any, one).child.fields) for name, one in fields.items() if isinstance(one, ListSerializer)]
    if len(lists) != 1:
        return None
    name, columns = lists[0]
    return Table(name, list(columns))


def is_csv(request: Request) -> bool:
    """Whether a request is to be answered as CSV, by `?format=` or by its Accept header."""
    return bool(request.accepted_renderer.format == FORMAT)


def headers(request: Request, told: Mapping[str, Any]) -> dict[str, str]:
    """Of an answer; `told` may have `head` and `epoch`."""
    # The parts of a path are checked before anything is answered: no quote is in them.
    name = "-".join(request.path.split("/")[3:])
    standing = {HEAD_HEADER: told.get("head"), EPOCH_HEADER: told.get("epoch")}
    return {
        "Content-Type": CONTENT_TYPE,
        "Content-Disposition": f'attachment; filename="{name}.csv"',
        **{header: str(value) for header, value in standing.items() if value is not None},
    }


def data_lines(columns: Sequence[str], rows: Sequence[Any]) -> bytes:
    """A line for each row; they are structs all of them, or dicts."""
    getter = itemgetter if rows and isinstance(rows[0], dict) else attrgetter
    values = getter(*columns)
    return _written(map(_text, values(row)) for row in rows)


def header_line(columns: Sequence[str]) -> bytes:
    return _written([columns])


def _written(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, envelope.AgePlaceholder):
        value = clock.age_seconds(value.time, clock.now())
    # The quotes are those of a time: neither a number nor an object has any at its ends.
    return envelope.encode(value).decode().strip('"')
