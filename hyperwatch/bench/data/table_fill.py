"""Fills the streams of a database in minutes; ingest would take hours.

The derived data (contiguous seqs, heads, roll-ups, the newest row of each coin) comes from the SQL of the storage
package, so every query returns the same as after ingest.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from hyperwatch.bench import CannotMeasureError
from hyperwatch.bench.data.distributions import rows_sql
from hyperwatch.bench.data.stream_recipes import RECIPES, StreamRecipe
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.sql.cancellable_sql import CancellableSession
from realtime.storage.rollup_sql import columns, minute_rollup, period_rollups
from realtime.streams import Stream, get_stream

CHUNK_ROWS = 250_000
# For fewer rows, updating the indexes row by row is faster than rebuilding them.
MIN_ROWS_TO_DROP_INDEXES = 50_000
SESSION_SETTINGS = "SET work_mem = '512MB'; SET maintenance_work_mem = '1GB'; SET synchronous_commit = off"


def fill(url: str, size: int, streams: Iterable[str], seed: int, log: Callable[[str], None]) -> None:
    """Fills each of `streams` for a database of `size`; skips a stream that is already filled."""
    with CancellableSession(url) as session:
        session.run(SESSION_SETTINGS)
        for recipe in (RECIPES[name] for name in streams):
            rows = recipe.rows(size)
            head = session.value("SELECT head FROM streams WHERE name = %s", [recipe.stream])
            if head == rows:
                continue
            if head or _has_rows(session, recipe):
                raise CannotMeasureError(f"{recipe.stream} has neither no rows nor {rows:,}: remove that database")
            _fill(session, recipe, rows, seed, log)


def filled(environment: BenchEnvironment, size: int, streams: Iterable[str]) -> str:
    """The URL of a filled database of `size`; with persistent databases, later runs reuse it."""
    url = environment.database(_database_name(environment, size))
    fill(url, size, streams, environment.seed, environment.log)
    return url


def filled_writable(environment: BenchEnvironment, size: int, streams: Iterable[str]) -> str:
    """The URL of a filled database that may be changed: a copy of a persistent one."""
    filled(environment, size, streams)
    return environment.writable_database(_database_name(environment, size))


def _database_name(environment: BenchEnvironment, size: int) -> str:
    return f"bench_filled_{size}_{environment.seed}"


class TableSize(NamedTuple):
    rows: int
    # Table, TOAST and indexes.
    bytes: int


def table_size(session: CancellableSession, stream: str) -> TableSize:
    table = get_stream(stream).model._meta.db_table
    return TableSize(*session.run(f"SELECT (SELECT count(*) FROM {table}), pg_total_relation_size('{table}')")[0])


def _has_rows(session: CancellableSession, recipe: StreamRecipe) -> bool:
    return bool(session.run(f"SELECT 1 FROM {get_stream(recipe.stream).model._meta.db_table} LIMIT 1"))


def _fill(session: CancellableSession, recipe: StreamRecipe, rows: int, seed: int, log: Callable[[str], None]) -> None:
    stream = get_stream(recipe.stream)
    table = stream.model._meta.db_table
    is_dropping_indexes = rows > MIN_ROWS_TO_DROP_INDEXES
    with _without_indexes(session, [table, *recipe.extra_tables] if is_dropping_indexes else [], log):
        for first in range(1, rows + 1, CHUNK_ROWS):
            last = min(first + CHUNK_ROWS - 1, rows)
            session.run(_insert(recipe, table, seed, first, last, rows))
            log(f"{recipe.stream}: {last:,} of {rows:,} rows")
        if recipe.after_fill_sql:
            session.run(recipe.after_fill_sql)
    session.run(f"VACUUM ANALYZE {table}")
    log(f"{recipe.stream}: newest row of each coin, and roll-ups")
    with _without_indexes(session, ["period_counts"] if is_dropping_indexes else [], log):
        for statement in _derived_rows_sql(stream):
            session.run(statement)
    # The table a second time: pages that an older snapshot could not see are not all-visible after the first VACUUM.
    for name in (table, *recipe.extra_tables, "newest_of_coin", "period_counts", "streams"):
        session.run(f"VACUUM ANALYZE {name}")
    # Last: a set head means that the fill is complete.
    session.run("UPDATE streams SET head = %s WHERE name = %s", [rows, stream.name])


def _insert(recipe: StreamRecipe, table: str, seed: int, first: int, last: int, rows: int) -> str:
    stream = get_stream(recipe.stream)
    columns = {name: text.format(seed=seed, rows=rows) for name, text in recipe.columns.items()}
    seconds = f"substr(int8send(floor(extract(epoch FROM {columns[stream.time]}))::bigint), 5)"
    key = f"{seconds} || substr(decode(md5('{seed} {recipe.stream} ' || n), 'hex'), 1, 12)"
    return (
        f"INSERT INTO {table} (id, event_key, {', '.join(columns)}) "
        f"SELECT n, {key}, {', '.join(columns.values())} "
        f"FROM {rows_sql(seed, str(first), str(last), rows)} drawn"
    )


def _derived_rows_sql(stream: Stream) -> Iterator[str]:
    """Statements for the newest row of each coin, and the roll-ups."""
    table, time = stream.model._meta.db_table, stream.time
    yield (
        f"INSERT INTO newest_of_coin (stream, coin, time, seq) "
        f"SELECT DISTINCT ON (coin) '{stream.name}', coin, {time}, id FROM {table} ORDER BY coin, {time} DESC, id DESC"
    )
    if rollup := stream.rollup:
        # In order of start time, as after ingest: adjacent periods are on adjacent pages.
        yield (
            f"WITH minute_rollup AS MATERIALIZED ({minute_rollup(stream, rollup, table)}) "
            f"INSERT INTO period_counts ({columns(rollup)}) {period_rollups(stream, rollup)} "
            "ORDER BY start, seconds DESC"
        )


@contextmanager
def _without_indexes(session: CancellableSession, tables: Sequence[str], log: Callable[[str], None]) -> Iterator[None]:
    """Drops indexes and creates them again at the end: several times faster than updates by row."""
    create_statements = [statement for table in tables for statement in _drop_indexes(session, table)]
    yield
    for number, statement in enumerate(create_statements, 1):
        log(f"index {number} of {len(create_statements)}: {statement[:100]}")
        session.run(statement)


def _drop_indexes(session: CancellableSession, table: str) -> list[str]:
    """Drops constraints and indexes; returns the statements that create them, constraints first."""
    constraints = session.run(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass "
        "AND contype IN ('p', 'u') ORDER BY contype",
        [table],
    )
    for name, _ in constraints:
        session.run(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
    indexes = session.run("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s", [table])
    for name, _ in indexes:
        session.run(f'DROP INDEX "{name}"')
    create_statements = [f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {text}' for name, text in constraints]
    return [*create_statements, *(text for _, text in indexes)]
