"""What the database holds, read by SQL alone: every row, each stream's numbers, the counters, the dead letters."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import psycopg2  # type: ignore[import-untyped, unused-ignore]

from hyperwatch.soak.invalid_messages import REFUSE
from hyperwatch.soak.oracle import QUERIES, Oracle
from hyperwatch.soak.persistent_clients import EVENTS, STATE, link
from hyperwatch.soak.traffic import digest
from realtime.streams import RollupSpec, Stream, all_streams

AT_ONCE = 2_000
PATIENCE = 30.0
WATCHED = (
    "INSERT INTO whale_watches (wallet_address, alias, description, is_active, created_at, updated_at) "
    "VALUES (%s, %s, '', true, now(), now())"
)
HEADS = "SELECT name, head, floor FROM streams ORDER BY name"
NUMBERS = "SELECT count(*), coalesce(min(id), 1), coalesce(max(id), 0) FROM {table}"
LETTERS = "SELECT reason, bytes FROM dead_letters"
NEWEST = "SELECT DISTINCT ON (coin) coin, id FROM long_short_ratios ORDER BY coin, timestamp DESC, id DESC"
COUNTED = """
SELECT seconds, coin, side, start, count, coalesce(sum, 0) FROM period_counts, LATERAL (
    VALUES (1, count_1, sum_1), (2, count_2, sum_2), (3, count_3, sum_3), (4, count_4, sum_4)
) of_side (side, count, sum) WHERE stream = '{stream}' AND (count <> 0 OR sum <> 0)"""
RECOUNTED = """
SELECT seconds, coalesce(coin, ''), side, start, count(*), {value}
FROM (SELECT coin, {time} AS time, {side} AS side{and_value} FROM {table}) facts,
(VALUES (60), (3600), (86400), (2592000)) AS period (seconds), LATERAL (
    SELECT date_bin(make_interval(secs => seconds), facts.time, 'epoch') AS start
) begin GROUP BY GROUPING SETS ((seconds, coin, side, start), (seconds, side, start))"""


class DatabaseState:
    """The database at `url`, one question at a time."""

    def __init__(self, url: str) -> None:
        self._url = url

    def prepare(self, whales: Sequence[tuple[str, str]]) -> None:
        """Before anything is sent: `whales` are watched, and there is something that only the database refuses."""
        with self._cursor() as cursor:
            cursor.execute(REFUSE)
            cursor.executemany(WATCHED, whales)

    def counts(self) -> dict[str, int]:
        """Rows by table; nothing while the database is away."""
        try:
            return {table: self._ask(f"SELECT count(*) FROM {table}")[0][0] for table in QUERIES}
        except psycopg2.OperationalError:
            return {}

    def heads(self) -> dict[str, int]:
        return {name: head for name, head, _ in self._ask(HEADS)}

    def differences(self, truth: Oracle) -> dict[str, tuple[int, int]]:
        """Rows that are missing, and rows that are there and should not be, by table; nothing where all is right."""
        found = {}
        for table, query in QUERIES.items():
            stored = Counter(map(hash, self._rows(query)))
            known = truth.hashes[table]
            missing, beyond = (known - stored).total(), (stored - known).total()
            if missing or beyond:
                found[table] = (missing, beyond)
        return found

    def holes(self) -> dict[str, tuple[int, ...]]:
        """Streams whose numbers are not 1 to their head: how many rows, the first, the last, head and floor."""
        places = {name: (head, floor) for name, head, floor in self._ask(HEADS)}
        found: dict[str, tuple[int, ...]] = {}
        for stream in all_streams():
            number, first, last = self._ask(NUMBERS.format(table=stream.model._meta.db_table))[0]
            head, floor = places.get(stream.name, (0, 0))
            if (number, first, last, floor) != (head, 1, head, 0):
                found[stream.name] = (number, first, last, head, floor)
        return found

    def miscounted(self) -> dict[str, int]:
        """Streams whose counters are not what a count of their rows says: how many of them differ."""
        found = {}
        for stream in all_streams():
            counted = set(self._rows(COUNTED.format(stream=stream.name)))
            if differing := counted ^ (set(self._rows(_recount(stream, by))) if (by := stream.rollup) else set()):
                found[stream.name] = len(differing)
        return found

    def letters(self) -> Counter[tuple[str, bytes]]:
        return Counter((reason, digest(bytes(value or b""))) for reason, value in self._rows(LETTERS))

    def chain(self, channel: str) -> int:
        """What all facts of an event channel come to, as a client sees them."""
        chained = 0
        for row in self._rows(f"SELECT id, tx_hash, coin FROM {channel} ORDER BY id"):
            chained = link(chained, *row)
        return chained

    def chains(self) -> dict[str, int]:
        return {channel: self.chain(channel) for channel in EVENTS}

    def newest(self) -> dict[str, int]:
        """The `seq` of each coin's newest state on the channel that clients follow."""
        return dict(self._ask(NEWEST.replace("long_short_ratios", STATE)))

    def wait_until_there(self) -> None:
        """It may be recovering."""
        until = time.monotonic() + PATIENCE
        while not self.counts() and time.monotonic() < until:
            time.sleep(0.2)

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        connecting = closing(psycopg2.connect(self._url, connect_timeout=5))
        with connecting as connection, connection, connection.cursor() as cursor:
            yield cursor

    def _ask(self, query: str) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            cursor.execute(query)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def _rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        """Some at a time, so that an hour's facts need no room here."""
        with closing(psycopg2.connect(self._url)) as connection, connection.cursor("soak") as cursor:
            cursor.itersize = AT_ONCE
            cursor.execute(query)
            yield from cursor


def _recount(stream: Stream, by: RollupSpec) -> str:
    sides = ", ".join(f"'{side.value}'" for side in by.sides)
    return RECOUNTED.format(
        table=stream.model._meta.db_table,
        time=stream.time,
        side=f"array_position(ARRAY[{sides}], {by.side}::text)",
        value=f"sum({by.value})" if by.value else "0",
        and_value=f", {by.value}" if by.value else "",
    )
