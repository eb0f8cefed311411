"""How a row travels between its struct, COPY and a query."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
from django.db import models

from hyperwatch.fields import wire
from realtime.streams import Row, Stream, get_stream

ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def table_columns(stream: Stream) -> list[str]:
    """The row's fields that are columns of the table, without `id`."""
    columns = {field.name for field in stream.model._meta.concrete_fields} - {"id"}
    return [name for name in stream.row.__struct_fields__ if name in columns]


def copy_text(value: Any) -> str:
    """One value in the text format of COPY."""
    if value is None or value is msgspec.UNSET:
        return "\\N"
    if isinstance(value, str):
        return value.translate(ESCAPES)
    if isinstance(value, bytes):
        return "\\\\x" + value.hex()
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode().translate(ESCAPES)
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def copy_lines(rows: Iterable[tuple[Any, ...]]) -> str:
    return "".join("\t".join(map(copy_text, row)) + "\n" for row in rows)


class Reader:
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
def reader(stream: str) -> Reader:
    """The reader of a registered stream."""
    return Reader(get_stream(stream))
