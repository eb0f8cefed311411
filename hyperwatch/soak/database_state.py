"""Database contents, read by plain SQL: all rows, the sequences of the streams, roll-ups and dead letters."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import psycopg2  # type: ignore[import-untyped, unused-ignore]

from hyperwatch.soak.invalid_messages import ADD_REJECTING_CONSTRAINT
from hyperwatch.soak.oracle import QUERIES, Oracle
from hyperwatch.soak.persistent_clients import EVENT_CHANNELS, STATE_CHANNEL, chain_hash
from hyperwatch.soak.traffic import digest
from realtime.streams import RollupSpec, Stream, all_streams

FETCH_ROWS = 2_000
AVAILABLE_TIMEOUT_SECONDS = 30.0
INSERT_WATCH = (
    "INSERT INTO whale_watches (wallet_address, alias, description, is_active, created_at, updated_at) "
    "VALUES (%s, %s, '', true, now(), now())"
)
SELECT_HEADS = "SELECT name, head, floor FROM streams ORDER BY name"
SELECT_SEQ_RANGE = "SELECT count(*), coalesce(min(id), 1), coalesce(max(id), 0) FROM {table}"
SELECT_DEAD_LETTERS = "SELECT reason, bytes FROM dead_letters"
SELECT_LATEST_STATES = (
    "SELECT DISTINCT ON (coin) coin, id FROM long_short_ratios ORDER BY coin, timestamp DESC, id DESC"
)
SELECT_ROLLUPS = """
SELECT seconds, coin, side, start, count, coalesce(sum, 0) FROM period_counts, LATERAL (
    VALUES (1, count_1, sum_1), (2, count_2, sum_2), (3, count_3, sum_3), (4, count_4, sum_4)
) of_side (side, count, sum) WHERE stream = '{stream}' AND (count <> 0 OR sum <> 0)"""
COUNT_ROWS_BY_PERIOD = """
SELECT seconds, coalesce(coin, ''), side, start, count(*), {value}
FROM (SELECT coin, {time} AS time, {side} AS side{and_value} FROM {table}) facts,
(VALUES (60), (3600), (86400), (2592000)) AS period (seconds), LATERAL (
    SELECT date_bin(make_interval(secs => seconds), facts.time, 'epoch') AS start
) begin GROUP BY GROUPING SETS ((seconds, coin, side, start), (seconds, side, start))"""


class DatabaseState:
    """Queries on the database at `url`, with one connection per query."""

    def __init__(self, url: str) -> None:
        self._url = url

    def prepare(self, whales: Sequence[tuple[str, str]]) -> None:
        """Watches `whales` and adds the constraint for REFUSED_BY_DATABASE; call it before the traffic starts."""
        with self._cursor() as cursor:
            cursor.execute(ADD_REJECTING_CONSTRAINT)
            cursor.executemany(INSERT_WATCH, whales)

    def counts(self) -> dict[str, int]:
        """Number of rows by table; empty while the database is unavailable."""
        try:
            return {table: self._query(f"SELECT count(*) FROM {table}")[0][0] for table in QUERIES}
        except psycopg2.OperationalError:
            return {}

    def heads(self) -> dict[str, int]:
        return {name: head for name, head, _ in self._query(SELECT_HEADS)}

    def differences(self, oracle: Oracle) -> dict[str, tuple[int, int]]:
        """Numbers of missing and unexpected rows by table, for tables that differ."""
        differences = {}
        for table, query in QUERIES.items():
            stored = Counter(map(hash, self._rows(query)))
            expected = oracle.hashes[table]
            missing, unexpected = (expected - stored).total(), (stored - expected).total()
            if missing or unexpected:
                differences[table] = (missing, unexpected)
        return differences

    def sequence_errors(self) -> dict[str, tuple[int, ...]]:
        """(rows, first seq, last seq, head, floor) of each stream whose `seq` are not 1 to its head."""
        heads = {name: (head, floor) for name, head, floor in self._query(SELECT_HEADS)}
        errors: dict[str, tuple[int, ...]] = {}
        for stream in all_streams():
            count, first, last = self._query(SELECT_SEQ_RANGE.format(table=stream.model._meta.db_table))[0]
            head, floor = heads.get(stream.name, (0, 0))
            if (count, first, last, floor) != (head, 1, head, 0):
                errors[stream.name] = (count, first, last, head, floor)
        return errors

    def rollup_differences(self) -> dict[str, int]:
        """Number of roll-up values that differ from a count of the rows, by stream."""
        differences = {}
        for stream in all_streams():
            stored = set(self._rows(SELECT_ROLLUPS.format(stream=stream.name)))
            expected = set(self._rows(_rollup_query(stream, stream.rollup))) if stream.rollup else set()
            if stored != expected:
                differences[stream.name] = len(stored ^ expected)
        return differences

    def dead_letters(self) -> Counter[tuple[str, bytes]]:
        return Counter((reason, digest(bytes(value or b""))) for reason, value in self._rows(SELECT_DEAD_LETTERS))

    def hash_of(self, channel: str) -> int:
        """The hash chain of all facts of an event channel, as a client computes it."""
        chained = 0
        for row in self._rows(f"SELECT id, tx_hash, coin FROM {channel} ORDER BY id"):
            chained = chain_hash(chained, *row)
        return chained

    def hashes(self) -> dict[str, int]:
        return {channel: self.hash_of(channel) for channel in EVENT_CHANNELS}

    def latest_states(self) -> dict[str, int]:
        """The `seq` of each coin's latest state on the channel that clients subscribe to."""
        return dict(self._query(SELECT_LATEST_STATES.replace("long_short_ratios", STATE_CHANNEL)))

    def wait_until_available(self) -> None:
        """Waits for PostgreSQL to finish crash recovery."""
        until = time.monotonic() + AVAILABLE_TIMEOUT_SECONDS
        while not self.counts() and time.monotonic() < until:
            time.sleep(0.2)

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        connecting = closing(psycopg2.connect(self._url, connect_timeout=5))
        with connecting as connection, connection, connection.cursor() as cursor:
            yield cursor

    def _query(self, query: str) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            cursor.execute(query)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def _rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        """Rows by a server-side cursor, to bound memory for the facts of an hour."""
        with closing(psycopg2.connect(self._url)) as connection, connection.cursor("soak") as cursor:
            cursor.itersize = FETCH_ROWS
            cursor.execute(query)
            yield from cursor


def _rollup_query(stream: Stream, spec: RollupSpec) -> str:
    sides = ", ".join(f"'{side.value}'" for side in spec.sides)
    return COUNT_ROWS_BY_PERIOD.format(
        table=stream.model._meta.db_table,
        time=stream.time,
        side=f"array_position(ARRAY[{sides}], {spec.side}::text)",
        value=f"sum({spec.value})" if spec.value else "0",
        and_value=f", {spec.value}" if spec.value else "",
    )
