"""Fills a database's streams with so many rows in minutes, as the store would have in hours.

What the store keeps beside the rows (numbers without a hole, heads, counters, the newest of each coin) is made by
its own SQL, so that every query finds what it would find.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from hyperwatch.bench import CannotMeasureError
from hyperwatch.bench.data.distributions import drawn
from hyperwatch.bench.data.stream_recipes import RECIPES, StreamRecipe
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.sql.cancellable_sql import CancellableSession
from realtime.storage.rollup_sql import columns, minute_rollup, period_rollups
from realtime.streams import Stream, get_stream

CHUNK = 250_000
# Where less is added, the indexes are kept up row by row.
WORTH_DROPPING = 50_000
SETTINGS = "SET work_mem = '512MB'; SET maintenance_work_mem = '1GB'; SET synchronous_commit = off"


def fill(url: str, size: int, streams: Iterable[str], seed: int, say: Callable[[str], None]) -> None:
    """Each of `streams` gets the rows of a database of `size`; one that has them already stays as it is."""
    with CancellableSession(url) as session:
        session.run(SETTINGS)
        for recipe in (RECIPES[name] for name in streams):
            rows = recipe.rows(size)
            head = session.value("SELECT head FROM streams WHERE name = %s", [recipe.stream])
            if head == rows:
                continue
            if head or _has_rows(session, recipe):
                raise CannotMeasureError(f"{recipe.stream} was filled by half, or grew: remove that database")
            _fill(session, recipe, rows, seed, say)


def filled(ground: BenchEnvironment, size: int, streams: Iterable[str]) -> str:
    """The URL of a database of `size` with the rows of `streams`; where databases are kept, it is found again."""
    url = ground.database(_name(ground, size))
    fill(url, size, streams, ground.seed, ground.say)
    return url


def filled_to_change(ground: BenchEnvironment, size: int, streams: Iterable[str]) -> str:
    """The same, and what is done to it stays with it alone."""
    filled(ground, size, streams)
    return ground.to_change(_name(ground, size))


def _name(ground: BenchEnvironment, size: int) -> str:
    return f"bench_filled_{size}_{ground.seed}"


class Disk(NamedTuple):
    rows: int
    # Of the table with all its indexes.
    bytes: int


def disk(session: CancellableSession, stream: str) -> Disk:
    table = get_stream(stream).model._meta.db_table
    return Disk(*session.run(f"SELECT (SELECT count(*) FROM {table}), pg_total_relation_size('{table}')")[0])


def _has_rows(session: CancellableSession, recipe: StreamRecipe) -> bool:
    return bool(session.run(f"SELECT 1 FROM {get_stream(recipe.stream).model._meta.db_table} LIMIT 1"))


def _fill(session: CancellableSession, recipe: StreamRecipe, rows: int, seed: int, say: Callable[[str], None]) -> None:
    stream = get_stream(recipe.stream)
    table = stream.model._meta.db_table
    is_worth_it = rows > WORTH_DROPPING
    with _without_indexes(session, [table, *recipe.also] if is_worth_it else [], say):
        for first in range(1, rows + 1, CHUNK):
            last = min(first + CHUNK - 1, rows)
            session.run(_insert(recipe, table, seed, first, last, rows))
            say(f"{recipe.stream}: {last:,} of {rows:,} rows")
        if recipe.then:
            session.run(recipe.then)
    session.run(f"VACUUM ANALYZE {table}")
    say(f"{recipe.stream}: the newest of each coin, and the counters")
    with _without_indexes(session, ["period_counts"] if is_worth_it else [], say):
        for statement in _beside(stream):
            session.run(statement)
    # The table again: what a transaction elsewhere might not have seen could not be marked as visible to all.
    for name in (table, *recipe.also, "newest_of_coin", "period_counts", "streams"):
        session.run(f"VACUUM ANALYZE {name}")
    # Last: whoever finds the head finds everything.
    session.run("UPDATE streams SET head = %s WHERE name = %s", [rows, stream.name])


def _insert(recipe: StreamRecipe, table: str, seed: int, first: int, last: int, rows: int) -> str:
    stream = get_stream(recipe.stream)
    columns = {name: text.format(seed=seed, rows=rows) for name, text in recipe.columns.items()}
    seconds = f"substr(int8send(floor(extract(epoch FROM {columns[stream.time]}))::bigint), 5)"
    key = f"{seconds} || substr(decode(md5('{seed} {recipe.stream} ' || n), 'hex'), 1, 12)"
    return (
        f"INSERT INTO {table} (id, event_key, {', '.join(columns)}) "
        f"SELECT n, {key}, {', '.join(columns.values())} "
        f"FROM {drawn(seed, str(first), str(last), rows)} drawn"
    )


def _beside(stream: Stream) -> Iterator[str]:
    """What is kept beside the rows."""
    table, time = stream.model._meta.db_table, stream.time
    yield (
        f"INSERT INTO newest_of_coin (stream, coin, time, seq) "
        f"SELECT DISTINCT ON (coin) '{stream.name}', coin, {time}, id FROM {table} ORDER BY coin, {time} DESC, id DESC"
    )
    if by := stream.rollup:
        # In the order in which they would have begun: what lies together in time lies together on disk.
        yield (
            f"WITH minute_rollup AS MATERIALIZED ({minute_rollup(stream, by, table)}) "
            f"INSERT INTO period_counts ({columns(by)}) {period_rollups(stream, by)} ORDER BY start, seconds DESC"
        )


@contextmanager
def _without_indexes(session: CancellableSession, tables: Sequence[str], say: Callable[[str], None]) -> Iterator[None]:
    """Made anew behind, which is several times quicker than row by row."""
    made = [statement for table in tables for statement in _drop_indexes(session, table)]
    yield
    for number, statement in enumerate(made, 1):
        say(f"index {number} of {len(made)}: {statement[:100]}")
        session.run(statement)


def _drop_indexes(session: CancellableSession, table: str) -> list[str]:
    """The statements that make them again: those behind constraints, then the others."""
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
    made = [f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {text}' for name, text in constraints]
    return [*made, *(text for _, text in indexes)]
