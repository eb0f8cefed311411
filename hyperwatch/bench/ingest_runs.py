"""One measurement: so many messages lie on Kafka, and members of a kind store them; or rows go in without Kafka."""

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import psycopg2  # type: ignore[import-untyped, unused-ignore]

from hyperwatch.bench import CannotMeasureError
from hyperwatch.bench.data.kafka_messages import PreparedMessage, send
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.processes.consumer_group import ConsumerGroup, members
from hyperwatch.bench.processes.postgres_cpu import PostgresCpuReader
from hyperwatch.bench.references import plain_copy
from hyperwatch.bench.references.consumers import PROGRESS
from hyperwatch.bench.sql.cancellable_sql import CancellableSession
from realtime.ingest.decoder import decode_batch
from realtime.kafka.producer import KafkaProducer

PATIENCE = 120.0
LOOK = 0.01
# The arguments of Python; `consume` is the one that is measured.
KINDS = {
    kind: ("-m", "hyperwatch.bench.processes.django_entry", f"lesser.{kind}", "{number}") for kind in ("copy", "silent")
}


class Spent(NamedTuple):
    """Seconds that it took, and of the processor's time: of the client, and of PostgreSQL."""

    seconds: float
    client: float = 0.0
    backends: float = 0.0
    writers: float = 0.0


class IngestResult(msgspec.Struct, frozen=True, kw_only=True):
    """`before` rows were there, `rows` were offered, `new` are not known, `stored` came to it; and whose CPU seconds.

    `writers` are PostgreSQL's processes that write the log and the pages for all.
    """

    kind: str
    size: int
    members: int
    before: int
    rows: int
    new: int
    stored: int
    seconds: float
    client: float
    backends: float
    writers: float

    @property
    def rows_a_second(self) -> float:
        return self.rows / self.seconds

    def us(self, seconds: float) -> float:
        """For a row."""
        return seconds / self.rows * 1e6

    @property
    def cpu_us(self) -> float:
        return self.us(self.client + self.backends)


class IngestRuns:
    """Measures on the database of `url`, which is a filled one of `size`."""

    def __init__(self, ground: BenchEnvironment, url: str, size: int, session: CancellableSession) -> None:
        self._ground = replace(ground, env={**ground.env, "DATABASE_URL": url})
        self._url = url
        self._size = size
        self._session = session
        self._time = PostgresCpuReader(session)
        self._producer = KafkaProducer()
        self._table = plain_copy.table()
        session.run(f"CREATE TABLE IF NOT EXISTS {PROGRESS} (rows int)")

    def empty(self) -> None:
        """Makes an empty table of one that is to be."""
        if not self._size:
            self._session.run(f"TRUNCATE {self._table}, period_counts, newest_of_coin")
            self._session.run("UPDATE streams SET head = 0")

    def by_members(
        self, kind: str, number: int, offers: Sequence[PreparedMessage], new: int | None = None
    ) -> IngestResult:
        """`new` are those of the offers that are not known."""
        new, before = len(offers) if new is None else new, self._last_id()
        self._session.run(f"TRUNCATE {PROGRESS}")
        at = self._copied if kind == "copy" else lambda: self._last_id() - before
        with members(self._ground, number, KINDS.get(kind, ())) as group:
            group.hold()
            send(self._producer, offers)
            client, server, began = group.cpu_seconds, self._time.read(), time.monotonic()
            group.go()
            self._wait(group, at, new)
            seconds, taken = time.monotonic() - began, self._time.read().since(server)
            client = group.cpu_seconds - client
        return self._run(kind, number, before, (len(offers), new), Spent(seconds, client, *taken))

    def by_text(self, offers: Sequence[PreparedMessage]) -> IngestResult:
        """A plain COPY of ready-made text, as psql would."""
        before = self._last_id()
        batch = decode_batch([offer.as_read() for offer in offers], datetime.now(UTC))
        text = plain_copy.text(list(batch.rows[plain_copy.CHANNEL].values()), before + 1)
        with closing(psycopg2.connect(self._url)) as connection, connection.cursor() as cursor:
            server, began = self._time.read(), time.monotonic()
            plain_copy.copy(cursor, text)
            connection.commit()
            seconds, taken = time.monotonic() - began, self._time.read().since(server)
        return self._run("text", 1, before, (len(offers), len(offers)), Spent(seconds, 0.0, *taken))

    def by_inserts(self, offers: Sequence[PreparedMessage]) -> IngestResult:
        """A connection and an INSERT for each message."""
        before, began = self._last_id(), time.monotonic()
        for place, offer in enumerate(offers, before + 1):
            self._insert(place, offer)
        return self._run("insert", 1, before, (len(offers), len(offers)), Spent(time.monotonic() - began))

    def _insert(self, place: int, offer: PreparedMessage) -> None:
        row = json.loads(offer.value)["data"]
        names = plain_copy.columns()
        values = [json.dumps(row[name]) if name == "raw_data" else row[name] for name in names]
        marks = ", ".join(["%s"] * (len(names) + 2))
        with closing(psycopg2.connect(self._url)) as connection, connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {self._table} (id, event_key, {', '.join(names)}) VALUES ({marks})",
                [place, os.urandom(16), *values],
            )
            connection.commit()

    def _last_id(self) -> int:
        return int(self._session.value(f"SELECT coalesce(max(id), 0) FROM {self._table}"))

    def _copied(self) -> int:
        return int(self._session.value(f"SELECT coalesce(sum(rows), 0) FROM {PROGRESS}"))

    def _wait(self, group: ConsumerGroup, at: Callable[[], int], new: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while (stored := at()) < new:
            group.check()
            if time.monotonic() > deadline:
                raise CannotMeasureError(f"{stored} of {new} were stored. Logs:\n{group.log_tail()}")
            time.sleep(LOOK)

    def _run(self, kind: str, number: int, before: int, offered: tuple[int, int], spent: Spent) -> IngestResult:
        (stored,) = self._session.run(f"SELECT count(*) FROM {self._table} WHERE id > %s", [before])[0]
        # The references number without the stream: whoever stores next goes on behind them.
        self._session.run("UPDATE streams SET head = %s WHERE name = %s", [self._last_id(), plain_copy.CHANNEL])
        rows, new = offered
        run = IngestResult(
            kind=kind,
            size=self._size,
            members=number,
            before=before,
            rows=rows,
            new=new,
            stored=stored,
            **spent._asdict(),
        )
        self._ground.say(
            f"{self._size:,} rows, {kind} by {number}: {run.rows_a_second:,.0f} rows/s, "
            f"{run.us(run.client):.1f} µs client and {run.us(run.backends):.1f} µs PostgreSQL a row; {stored:,} stored"
        )
        return run
