"""The rows of a list, by a statement whose greater part is the same each time."""

from functools import cache
from typing import Any

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import connection

from hyperwatch.api.filters import Query
from hyperwatch.fields import wire
from realtime.streams import get_stream


def fetched(facts: Query, stream: str) -> list[tuple[Any, ...]]:
    """The columns of `facts` as the stream's reader takes them.

    Django writes what they must meet. It would take twenty times as long to write the columns down as well.
    """
    query = facts.query
    try:
        where, values = query.where.as_sql(query.get_compiler(connection=connection), connection)
    except EmptyResultSet:
        return []
    except FullResultSet:
        where, values = "true", ()
    order = ", ".join(map(_ordered, query.order_by or facts.model._meta.ordering))
    statement = f"{_select(stream)} WHERE {where} ORDER BY {order}{_limits(query)}"
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


@cache
def _select(stream: str) -> str:
    of = get_stream(stream)
    names = [name for name in of.row.__struct_fields__ if name not in of.row.hidden]
    columns = [_column(of.model, "id" if name == "seq" else name) for name in names]
    return f'SELECT {", ".join(columns)} FROM "{of.model._meta.db_table}"'


def _column(model: Any, name: str) -> str:
    goes_out_as_it_is = isinstance(wire(model, name)[0], str)
    return f'"{name}"' if goes_out_as_it_is else f'"{name}"::text'


def _ordered(field: str) -> str:
    return f'"{field[1:]}" DESC' if field.startswith("-") else f'"{field}"'


def _limits(query: Any) -> str:
    limit = "" if query.high_mark is None else f" LIMIT {query.high_mark - query.low_mark}"
    return f"{limit} OFFSET {query.low_mark}" if query.low_mark else limit
