"""The rows of a list, by a statement whose greater part is the same each time."""

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import Any

import msgspec
from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import connections

from hyperwatch.api.filters import Query
from hyperwatch.db.fields import Convert, wire
from realtime.streams import Stream, get_stream


def fetch(facts: Query, stream: str) -> list[Any]:
    """Of `facts` what goes out, finished.

    Django writes what they must meet. It would take twenty times as long to write the columns down as well.
    """
    query = facts.query
    try:
        where, values = _conditions(facts, query.where)
    except EmptyResultSet:
        return []
    return _fetch(facts, stream, f"{_select(stream)} WHERE {where} ORDER BY {_order(facts)}{_limits(query)}", values)


def fetch_among_latest(facts: Query, stream: str, scattered: Collection[str], among: int) -> list[Any]:
    """The same, of so many of the newest that meet all conditions but those on the columns `scattered`."""
    query, order = facts.query, _order(facts)
    by_kind = [query.where.create(), query.where.create()]
    for condition in query.where.children:
        of_column = getattr(getattr(condition, "lhs", None), "target", None)
        by_kind[of_column is not None and of_column.name in scattered].children.append(condition)
    try:
        (where, values), (then, more) = (_conditions(facts, conditions) for conditions in by_kind)
    except EmptyResultSet:
        return []
    table = f'"{facts.model._meta.db_table}"'
    newest = f"SELECT * FROM {table} WHERE {where} ORDER BY {order} LIMIT {among}"
    select = _select(stream).replace(f"FROM {table}", f"FROM ({newest}) AS {table}")
    return _fetch(facts, stream, f"{select} WHERE {then} ORDER BY {order}{_limits(query)}", [*values, *more])


def fetch_by_coin(facts: Query, stream: str, coins: Sequence[str], most: int, begin: int) -> list[Any]:
    """The same, of `coins`: the newest of each are found in its index, and no row is read but those that go out."""
    query, order = facts.query, _order(facts)
    try:
        where, values = _conditions(facts, query.where)
    except EmptyResultSet:
        return []
    table, time = f'"{facts.model._meta.db_table}"', get_stream(stream).time
    of_coin = f"SELECT {time}, id FROM {table} WHERE {where} AND coin = one ORDER BY {order} LIMIT {begin + most}"
    newest = f"unnest(%s::text[]) AS coins (one) CROSS JOIN LATERAL ({of_coin}) AS newest"
    ids = f"SELECT id FROM {newest} ORDER BY {order} LIMIT {most} OFFSET {begin}"
    return _fetch(facts, stream, f"{_select(stream)} WHERE id IN ({ids}) ORDER BY {order}", [list(coins), *values])


def _conditions(facts: Query, where: Any) -> tuple[str, list[Any]]:
    """Raises EmptyResultSet where nothing can meet them."""
    database = connections[facts.db]
    try:
        text, values = where.as_sql(facts.query.get_compiler(connection=database), database)
    except FullResultSet:
        return "true", []
    return text or "true", list(values)


def _fetch(facts: Query, stream: str, statement: str, values: Sequence[Any]) -> list[Any]:
    with connections[facts.db].cursor() as cursor:
        cursor.execute(statement, values)
        return to_structs(cursor.fetchall(), stream)


def to_structs(rows: Iterable[Sequence[Any]], stream: str) -> list[Any]:
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


def _order(facts: Query) -> str:
    return ", ".join(map(_ordered, facts.query.order_by or facts.model._meta.ordering))


def _ordered(field: str) -> str:
    return f'"{field[1:]}" DESC' if field.startswith("-") else f'"{field}"'


def _limits(query: Any) -> str:
    limit = "" if query.high_mark is None else f" LIMIT {query.high_mark - query.low_mark}"
    return f"{limit} OFFSET {query.low_mark}" if query.low_mark else limit
