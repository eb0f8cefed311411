"""Whether a database holds what the demo market's messages come to (hyperwatch/soak/oracle.py), and nothing else."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from hyperwatch.harness.postgres import Database
from hyperwatch.soak.oracle import QUERIES, rows_of, stored_values
from realtime.sources.simulator import MarketSimulator, OutgoingMessage


def market(seed: int, count: int) -> tuple[MarketSimulator, list[OutgoingMessage]]:
    """A market that ended a moment ago, with many liquidations."""
    start = datetime.now(UTC) - timedelta(minutes=10)
    simulated = MarketSimulator(seed=seed, start=start, coins=8, wallets=60)
    return simulated, list(islice(simulated.messages(rate=25), count))


class Truth:
    """The rows that must be there, however often and in whatever order the messages came."""

    def __init__(self, messages: Iterable[OutgoingMessage], whales: Iterable[str]) -> None:
        self._rows: dict[str, set[tuple[Any, ...]]] = {name: set() for name in QUERIES}
        watched = set(whales)
        for message in messages:
            for table, row in rows_of(message, watched):
                self._rows[table].add(row)
        self.counts = {name: len(rows) for name, rows in self._rows.items()}

    def rows(self, table: str) -> Counter[tuple[Any, ...]]:
        return Counter(stored_values(table, row) for row in self._rows[table])


def assert_database_holds(database: Database, truth: Truth) -> None:
    """Every row that must be there, once, and no other; each stream's numbers from 1 to its head."""
    for name, query in QUERIES.items():
        assert Counter(database.query(query)) == truth.rows(name), name
    for stream, head in database.query("SELECT name, head FROM streams"):
        assert database.query(f"SELECT id FROM {stream} ORDER BY id") == [(seq,) for seq in range(1, head + 1)]
    assert database.query("SELECT reason, error FROM dead_letters") == []


def is_complete(database: Database, truth: Truth) -> bool:
    """Whether as many rows are there as must be; the way to wait for it."""
    return all(database.value(f"SELECT count(*) FROM {name}") >= count for name, count in truth.counts.items())
