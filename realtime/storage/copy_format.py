"""Converts rows between structs, the text format of PostgreSQL COPY, and query results."""

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
from hyperwatch.formats import compact_isoformat
from realtime.streams import Row, Stream, get_stream

SPECIAL = re.compile(r"[\\\t\n\r]")
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
# Converters for the types whose `str()` PostgreSQL does not parse, or whose `str()` is slower.
TEXTS: dict[type, Callable[[Any], str]] = {
    bytes: lambda value: "\\x" + value.hex(),
    msgspec.Raw: lambda value: bytes(value).decode(),
    datetime: compact_isoformat,
}
NULLS = {type(None), msgspec.UnsetType}


def table_columns(stream: Stream) -> list[str]:
    """The fields of the stream's row struct that are columns of its table, without `id`."""
    columns = {field.name for field in stream.model._meta.concrete_fields} - {"id"}
    return [name for name in stream.row.__struct_fields__ if name in columns]


def columns_of(rows: Iterable[Row], names: Sequence[str]) -> list[Sequence[Any]]:
    """Transposes rows: one sequence of values for each of `names`, in that order."""
    return list(zip(*map(attrgetter(*names), rows), strict=True))


def copy_lines(columns: Iterable[Sequence[Any]]) -> str:
    """Formats columns as the text format of COPY, one line a row. Escaping is rare, so it is checked by column."""
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
    """Sends the output of `copy_lines` through the COPY … FROM STDIN `statement`."""
    # A single chunk: between two chunks another thread acquires the GIL and holds it for its switch interval.
    cursor.copy_expert(statement, io.StringIO(lines), len(lines))


class RowReader:
    """Converts query results of a stream's table back to its row structs."""

    def __init__(self, stream: Stream) -> None:
        self._row = stream.row
        self._names = [name for name in stream.row.__struct_fields__ if name not in stream.row.hidden]
        wires = [wire(stream.model, "id" if name == "seq" else name) for name in self._names]
        self._columns = [column for column, _ in wires]
        self._converts = [(name, convert) for name, (_, convert) in zip(self._names, wires, strict=True) if convert]

    def select(self, queryset: "models.QuerySet[Any]") -> "models.QuerySet[Any, tuple[Any, ...]]":
        """Limits the queryset to the columns of the row struct, as tuples for `row`."""
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
