"""Fetches the rows of lists as structs: Django compiles the conditions, the column list is cached.

Django would take twenty times as long to compile the columns as well.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import Any

import msgspec
from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import connections

from hyperwatch.api.filters import Query
from hyperwatch.db.fields import Convert, wire
from realtime.streams import Stream, get_stream


def fetch(queryset: Query, stream: str) -> list[Any]:
    """The rows of `queryset` as structs of the output fields."""
    query = queryset.query
    try:
        where, values = _conditions(queryset, query.where)
    except EmptyResultSet:
        return []
    return _fetch(
        queryset, stream, f"{_select(stream)} WHERE {where} ORDER BY {_order(queryset)}{_limits(query)}", values
    )


def fetch_among_latest(queryset: Query, stream: str, selective: Collection[str], scan_rows: int) -> list[Any]:
    """The rows of `queryset` among the latest `scan_rows` rows, as structs; there may be more matches before them.

    The latest rows meet all conditions except those on the columns `selective`.
    """
    query, order = queryset.query, _order(queryset)
    other, on_selective = query.where.create(), query.where.create()
    for condition in query.where.children:
        column = getattr(getattr(condition, "lhs", None), "target", None)
        is_selective = column is not None and column.name in selective
        (on_selective if is_selective else other).children.append(condition)
    try:
        scan_where, scan_values = _conditions(queryset, other)
        where, values = _conditions(queryset, on_selective)
    except EmptyResultSet:
        return []
    table = f'"{queryset.model._meta.db_table}"'
    latest = f"SELECT * FROM {table} WHERE {scan_where} ORDER BY {order} LIMIT {scan_rows}"
    select = _select(stream).replace(f"FROM {table}", f"FROM ({latest}) AS {table}")
    statement = f"{select} WHERE {where} ORDER BY {order}{_limits(query)}"
    return _fetch(queryset, stream, statement, [*scan_values, *values])


def fetch_by_coin(queryset: Query, stream: str, coins: Sequence[str], limit: int, offset: int) -> list[Any]:
    """A page of `queryset` for `coins`, as structs.

    Merges the latest ids of each coin from the index on (coin, time), then reads the rows of the page alone.
    """
    query, order = queryset.query, _order(queryset)
    try:
        where, values = _conditions(queryset, query.where)
    except EmptyResultSet:
        return []
    table, time_field = f'"{queryset.model._meta.db_table}"', get_stream(stream).time
    where = f"{where} AND coin = coins.name"
    of_coin = f"SELECT {time_field}, id FROM {table} WHERE {where} ORDER BY {order} LIMIT {offset + limit}"
    of_all = f"unnest(%s::text[]) AS coins (name) CROSS JOIN LATERAL ({of_coin}) AS latest"
    ids = f"SELECT id FROM {of_all} ORDER BY {order} LIMIT {limit} OFFSET {offset}"
    return _fetch(queryset, stream, f"{_select(stream)} WHERE id IN ({ids}) ORDER BY {order}", [list(coins), *values])


def _conditions(queryset: Query, where: Any) -> tuple[str, list[Any]]:
    """SQL and values of a WHERE node; raises EmptyResultSet if no row can match."""
    database = connections[queryset.db]
    try:
        sql, values = where.as_sql(queryset.query.get_compiler(connection=database), database)
    except FullResultSet:
        return "true", []
    return sql or "true", list(values)


def _fetch(queryset: Query, stream: str, statement: str, values: Sequence[Any]) -> list[Any]:
    with connections[queryset.db].cursor() as cursor:
        cursor.execute(statement, values)
        return to_structs(cursor.fetchall(), stream)


def to_structs(rows: Iterable[Sequence[Any]], stream: str) -> list[Any]:
    """Structs of the visible fields of the stream's row, from the columns of `_select` or of its row reader."""
    struct, converters = _output_struct(stream)
    if not converters:
        return [struct(*values) for values in rows]
    structs = []
    for values in map(list, rows):
        for index, convert in converters:
            values[index] = convert(values[index])
        structs.append(struct(*values))
    return structs


@cache
def _output_struct(name: str) -> tuple[type[msgspec.Struct], list[tuple[int, Convert]]]:
    """A struct with positional fields, and the converters of columns by index.

    The stream's row struct accepts keywords alone, which takes three times as long.
    """
    stream = get_stream(name)
    fields = _visible_fields(stream)
    converters = [wire(stream.model, "id" if field == "seq" else field)[1] for field in fields]
    definition = [(field, Any) for field in fields]
    struct = msgspec.defstruct(f"{stream.row.__name__}Line", definition, frozen=True, gc=False)
    return struct, [(index, convert) for index, convert in enumerate(converters) if convert]


def _visible_fields(stream: Stream) -> list[str]:
    return [name for name in stream.row.__struct_fields__ if name not in stream.row.hidden]


@cache
def _select(name: str) -> str:
    stream = get_stream(name)
    columns = [_column(stream.model, field) for field in _visible_fields(stream)]
    return f'SELECT {", ".join(columns)} FROM "{stream.model._meta.db_table}"'


def _column(model: Any, name: str) -> str:
    if name == "seq":
        return '"id"'
    is_selected_directly = isinstance(wire(model, name)[0], str)
    return f'"{name}"' if is_selected_directly else f'"{name}"::text'


def _order(queryset: Query) -> str:
    return ", ".join(map(_order_term, queryset.query.order_by or queryset.model._meta.ordering))


def _order_term(field: str) -> str:
    return f'"{field[1:]}" DESC' if field.startswith("-") else f'"{field}"'


def _limits(query: Any) -> str:
    limit = "" if query.high_mark is None else f" LIMIT {query.high_mark - query.low_mark}"
    return f"{limit} OFFSET {query.low_mark}" if query.low_mark else limit
