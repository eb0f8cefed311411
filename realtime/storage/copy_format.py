"""How a row travels between its struct, COPY and a query."""

import io
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any

import msgspec
from django.db import models

from hyperwatch.db.fields import wire
from hyperwatch.formats import isoformat
from realtime.streams import Row, Stream, get_stream

SPECIAL = re.compile(r"[\\\t\n\r]")
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
# Of the types whose own text is not as PostgreSQL reads it, or takes longer.
TEXTS: dict[type, Callable[[Any], str]] = {
    bytes: lambda value: "\\x" + value.hex(),
    msgspec.Raw: lambda value: bytes(value).decode(),
    datetime: isoformat,
}
NULLS = {type(None), msgspec.UnsetType}


def table_columns(stream: Stream) -> list[str]:
    """The row's fields that are columns of the table, without `id`."""
    columns = {field.name for field in stream.model._meta.concrete_fields} - {"id"}
    return [name for name in stream.row.__struct_fields__ if name in columns]


def columns_of(rows: Iterable[Row], names: Sequence[str]) -> list[Sequence[Any]]:
    """The values of `names` by columns, in the order of the names."""
    return list(zip(*map(attrgetter(*names), rows), strict=True))


def copy_lines(columns: Iterable[Sequence[Any]]) -> str:
    """Rows in the text format of COPY, of their columns: hardly one has anything to escape."""
    rows = zip(*map(_copy_texts, columns), strict=True)
    return "".join(["\t".join(row) + "\n" for row in rows])


def _copy_texts(column: Sequence[Any]) -> Sequence[str]:
    kinds = set(map(type, column))
    texts = column if kinds == {str} else [TEXTS.get(type(value), str)(value) for value in column]
    if SPECIAL.search("".join(texts)):
        texts = [text.translate(ESCAPES) for text in texts]
    if kinds.isdisjoint(NULLS):
        return texts
    return ["\\N" if type(value) in NULLS else text for value, text in zip(column, texts, strict=True)]


def copy_in(cursor: Any, statement: str, lines: str) -> None:
    """What `copy_lines` made, by a COPY … FROM STDIN."""
    # In one piece: between two of them another thread takes the interpreter, and keeps it for a while.
    cursor.copy_expert(statement, io.StringIO(lines), len(lines))


class RowReader:
    """Reads a stream's rows back as the structs they were stored from."""

    def __init__(self, stream: Stream) -> None:
        self._row = stream.row
        self._names = [name for name in stream.row.__struct_fields__ if name not in stream.row.hidden]
        wires = [wire(stream.model, "id" if name == "seq" else name) for name in self._names]
        self._columns = [column for column, _ in wires]
        self._converts = [(name, convert) for name, (_, convert) in zip(self._names, wires, strict=True) if convert]

    def select(self, queryset: "models.QuerySet[Any]") -> "models.QuerySet[Any, tuple[Any, ...]]":
        """The columns of the row, as tuples that `row` makes structs of."""
        return queryset.values_list(*self._columns)

    def row(self, values: Sequence[Any]) -> Row:
        fields = dict(zip(self._names, values, strict=True))
        for name, convert in self._converts:
            fields[name] = convert(fields[name])
        return self._row(**fields)


@cache
def row_reader(stream: str) -> RowReader:
    """The reader of a registered stream."""
    return RowReader(get_stream(stream))
