"""The rows of a list, by a statement whose greater part is the same each time."""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import msgspec
from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import connections

from hyperwatch.api.filters import Query
from hyperwatch.fields import Convert, wire
from realtime.streams import Stream, get_stream


def fetched(facts: Query, stream: str) -> list[Any]:
    """Of `facts` what goes out, finished.

    Django writes what they must meet. It would take twenty times as long to write the columns down as well.
    """
    query, database = facts.query, connections[facts.db]
    try:
        where, values = query.where.as_sql(query.get_compiler(connection=database), database)
    except EmptyResultSet:
        return []
    except FullResultSet:
        where, values = "true", ()
    order = ", ".join(map(_ordered, query.order_by or facts.model._meta.ordering))
    statement = f"{_select(stream)} WHERE {where} ORDER BY {order}{_limits(query)}"
    with database.cursor() as cursor:
        cursor.execute(statement, values)
        return finished(cursor.fetchall(), stream)


def finished(rows: Iterable[Sequence[Any]], stream: str) -> list[Any]:
    """Structs with the fields of the stream's row that go out, of the columns that its reader selects."""
    line, converts = _line(stream)
    if not converts:
        return [line(*values) for values in rows]
    found = []
    for values in map(list, rows):
        for place, convert in converts:
            values[place] = convert(values[place])
        found.append(line(*values))
    return found


@cache
def _line(stream: str) -> tuple[type[msgspec.Struct], list[tuple[int, Convert]]]:
    """A row's own struct takes its fields by name alone, and thrice as long to be made."""
    of = get_stream(stream)
    names = _names(of)
    converts = [wire(of.model, "id" if name == "seq" else name)[1] for name in names]
    line = msgspec.defstruct(f"{of.row.__name__}Line", [(name, Any) for name in names], frozen=True, gc=False)
    return line, [(place, convert) for place, convert in enumerate(converts) if convert]


def _names(of: Stream) -> list[str]:
    return [name for name in of.row.__struct_fields__ if name not in of.row.hidden]


@cache
def _select(stream: str) -> str:
    of = get_stream(stream)
    columns = [_column(of.model, name) for name in _names(of)]
    return f'SELECT {", ".join(columns)} FROM "{of.model._meta.db_table}"'


def _column(model: Any, name: str) -> str:
    if name == "seq":
        return '"id"'
    goes_out_as_it_is = isinstance(wire(model, name)[0], str)
    return f'"{name}"' if goes_out_as_it_is else f'"{name}"::text'


def _ordered(field: str) -> str:
    return f'"{field[1:]}" DESC' if field.startswith("-") else f'"{field}"'


def _limits(query: Any) -> str:
    limit = "" if query.high_mark is None else f" LIMIT {query.high_mark - query.low_mark}"
    return f"{limit} OFFSET {query.low_mark}" if query.low_mark else limit
