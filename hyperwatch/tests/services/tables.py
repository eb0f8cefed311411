"""Empties the test database after a test that commits; replaces Django's `flush`, which takes 0.2 s.

`flush` truncates every table and creates the content types and permissions again. This truncates the tables that have
rows, in one statement, and leaves alone what `migrate` wrote. Sequences continue, as after `flush`.
"""

from functools import cache
from typing import Any

from django.db import connection

from realtime.storage.sequences import ensure_streams

# Written by `migrate`, and cached in Django by primary key.
MIGRATED = {"django_content_type", "auth_permission"}
# They always have rows.
HEADS = {"streams", "epoch"}
IS_STORED = "SELECT 'streams' WHERE EXISTS (SELECT FROM streams WHERE head > 0 OR floor > 0)"


def empty_tables(*_test_case: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_tables_with_rows())
        if used := {name for (name,) in cursor.fetchall()}:
            names = ", ".join(f'"{name}"' for name in sorted(used | HEADS))
            cursor.execute(f"TRUNCATE {names} CASCADE")
    # A new epoch: servers that outlive the test discard what they have read.
    if used:
        ensure_streams()


@cache
def _tables_with_rows() -> str:
    """SQL for the names of the tables that a test wrote to."""
    existing = connection.introspection.django_table_names(only_existing=True, include_views=False)
    tables = sorted(set(existing) - MIGRATED - HEADS)
    return " UNION ALL ".join(
        [IS_STORED, *(f"""SELECT '{name}' WHERE EXISTS (SELECT FROM "{name}")""" for name in tables)]
    )
