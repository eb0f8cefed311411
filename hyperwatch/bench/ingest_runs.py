"""One measurement: group members store produced messages, or rows are inserted without Kafka."""

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
from hyperwatch.bench.processes.consumer_group import ConsumerGroup, run_members
from hyperwatch.bench.processes.postgres_cpu import PostgresCpuReader
from hyperwatch.bench.references import plain_copy
from hyperwatch.bench.references.consumers import PROGRESS_TABLE
from hyperwatch.bench.sql.cancellable_sql import CancellableSession
from realtime.ingest.decoder import decode_batch
from realtime.kafka.producer import KafkaProducer

STORE_TIMEOUT_SECONDS = 120.0
POLL_INTERVAL_SECONDS = 0.01
# Arguments of Python for the references; `consume` is the command under test.
REFERENCE_ARGUMENTS = {
    kind: ("-m", "hyperwatch.bench.processes.django_entry", f"consumers.{kind}", "{number}")
    for kind in ("copy", "silent")
}


class MeasuredCost(NamedTuple):
    """Elapsed seconds, and CPU seconds of the client and of PostgreSQL."""

    seconds: float
    client: float = 0.0
    backends: float = 0.0
    writers: float = 0.0


class IngestResult(msgspec.Struct, frozen=True, kw_only=True):
    """Row counts, elapsed seconds, and CPU seconds by process.

    before   rows in the table at the start
    rows     produced messages, `new` of them without duplicates, `stored` of them added to the table
    writers  PostgreSQL's WAL writer, background writer, checkpointer and other shared processes
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
    def rows_per_second(self) -> float:
        return self.rows / self.seconds

    def per_row_us(self, seconds: float) -> float:
        """Microseconds per row."""
        return seconds / self.rows * 1e6

    @property
    def cpu_us(self) -> float:
        return self.per_row_us(self.client + self.backends)


class IngestRuns:
    """Measures on the database at `url`, which is filled for `size`."""

    def __init__(self, environment: BenchEnvironment, url: str, size: int, session: CancellableSession) -> None:
        self._environment = replace(environment, env={**environment.env, "DATABASE_URL": url})
        self._url = url
        self._size = size
        self._session = session
        self._postgres_cpu = PostgresCpuReader(session)
        self._producer = KafkaProducer()
        self._table = plain_copy.table()
        session.run(f"CREATE TABLE IF NOT EXISTS {PROGRESS_TABLE} (rows int)")

    def truncate(self) -> None:
        """Empties the table if `size` is 0."""
        if not self._size:
            self._session.run(f"TRUNCATE {self._table}, period_counts, newest_of_coin")
            self._session.run("UPDATE streams SET head = 0")

    def by_members(
        self, kind: str, number: int, messages: Sequence[PreparedMessage], new: int | None = None
    ) -> IngestResult:
        """`new` is the number of messages that are no duplicates."""
        new, before = len(messages) if new is None else new, self._last_id()
        self._session.run(f"TRUNCATE {PROGRESS_TABLE}")
        count_stored = self._copied if kind == "copy" else lambda: self._last_id() - before
        with run_members(self._environment, number, REFERENCE_ARGUMENTS.get(kind, ())) as group:
            group.pause()
            send(self._producer, messages)
            client, postgres_before, started = group.cpu_seconds, self._postgres_cpu.read(), time.monotonic()
            group.resume()
            self._wait(group, count_stored, new)
            seconds, postgres = time.monotonic() - started, self._postgres_cpu.read().since(postgres_before)
            client = group.cpu_seconds - client
        return self._run(kind, number, before, (len(messages), new), MeasuredCost(seconds, client, *postgres))

    def by_text(self, messages: Sequence[PreparedMessage]) -> IngestResult:
        """A plain COPY of ready-made text, as psql would."""
        before = self._last_id()
        batch = decode_batch([message.as_kafka_message() for message in messages], datetime.now(UTC))
        text = plain_copy.text(list(batch.rows[plain_copy.CHANNEL].values()), before + 1)
        with closing(psycopg2.connect(self._url)) as connection, connection.cursor() as cursor:
            postgres_before, started = self._postgres_cpu.read(), time.monotonic()
            plain_copy.copy(cursor, text)
            connection.commit()
            seconds, postgres = time.monotonic() - started, self._postgres_cpu.read().since(postgres_before)
        return self._run("text", 1, before, (len(messages), len(messages)), MeasuredCost(seconds, 0.0, *postgres))

    def by_inserts(self, messages: Sequence[PreparedMessage]) -> IngestResult:
        """A connection and an INSERT for each message."""
        before, started = self._last_id(), time.monotonic()
        for row_id, message in enumerate(messages, before + 1):
            self._insert(row_id, message)
        return self._run("insert", 1, before, (len(messages), len(messages)), MeasuredCost(time.monotonic() - started))

    def _insert(self, row_id: int, message: PreparedMessage) -> None:
        row = json.loads(message.value)["data"]
        names = plain_copy.columns()
        values = [json.dumps(row[name]) if name == "raw_data" else row[name] for name in names]
        marks = ", ".join(["%s"] * (len(names) + 2))
        with closing(psycopg2.connect(self._url)) as connection, connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {self._table} (id, event_key, {', '.join(names)}) VALUES ({marks})",
                [row_id, os.urandom(16), *values],
            )
            connection.commit()

    def _last_id(self) -> int:
        return int(self._session.value(f"SELECT coalesce(max(id), 0) FROM {self._table}"))

    def _copied(self) -> int:
        return int(self._session.value(f"SELECT coalesce(sum(rows), 0) FROM {PROGRESS_TABLE}"))

    def _wait(self, group: ConsumerGroup, count_stored: Callable[[], int], new: int) -> None:
        deadline = time.monotonic() + STORE_TIMEOUT_SECONDS
        while (stored := count_stored()) < new:
            group.check()
            if time.monotonic() > deadline:
                raise CannotMeasureError(f"timeout: {stored} of {new} rows were stored. Logs:\n{group.log_tail()}")
            time.sleep(POLL_INTERVAL_SECONDS)

    def _run(self, kind: str, number: int, before: int, offered: tuple[int, int], cost: MeasuredCost) -> IngestResult:
        (stored,) = self._session.run(f"SELECT count(*) FROM {self._table} WHERE id > %s", [before])[0]
        # The references assign ids without the stream; the next writer must continue after them.
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
            **cost._asdict(),
        )
        self._environment.log(
            f"{self._size:,} rows, {kind} by {number}: {run.rows_per_second:,.0f} rows/s, "
            f"{run.per_row_us(run.client):.1f} µs client and {run.per_row_us(run.backends):.1f} µs PostgreSQL a row; "
            f"{stored:,} stored"
        )
        return run
