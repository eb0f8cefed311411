"""Stores a batch exactly once, in order, in one transaction.

COPY runs first, without locks: a client that stalls in it blocks no other writer. Then one multi-statement string
locks the streams' rows, stores and commits. So the server never waits for the client while it holds the locks.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple

import msgspec
import psycopg2
from django.db import connection
from psycopg2.extras import execute_values

from hyperwatch import metrics
from hyperwatch.db.errors import normalize_db_errors, sqlstate
from realtime.ingest import writer_sql as sql
from realtime.ingest.decoder import DecodedBatch, PendingRow, RejectedMessage, Rows, derive
from realtime.ingest.failpoints import failpoint
from realtime.ingest.offset_store import OffsetStore
from realtime.kafka.consumer import KafkaMessage
from realtime.kafka.offset_tracker import Partition
from realtime.storage import consumer_offsets
from realtime.storage.copy_format import columns_of, copy_in, copy_lines
from realtime.storage.records import StoredRows
from realtime.storage.sequences import ensure_streams
from realtime.streams import Row, Stream, all_streams, get_stream

log = logging.getLogger(__name__)

RowsByStream = dict[str, list[PendingRow]]


class WriteResult(NamedTuple):
    """The result of a stream's rows, by position in the batch (`ord`).

    `new` maps the position of each new row to its `seq`, ascending. `conflicts` are duplicates with other values.
    """

    new: dict[int, int]
    conflicts: list[int]


EMPTY_RESULT = WriteResult({}, [])

# SQLSTATE prefixes of errors that the data causes: class 22 (invalid number or text, out of range), not-null and check
# violations, class 54 (too large or nested too deeply).
DATA_ERRORS = ("22", "23502", "23514", "54")


class BatchRejected(Exception):
    """The database rejects data of the batch; retries cannot succeed."""


class BatchWriter:
    """Stores batches through the calling thread's database connection.

    `epoch` is that of the last batch.
    """

    def __init__(self, offsets: OffsetStore | None = None) -> None:
        self._offsets = offsets or OffsetStore()
        self._session: object = None
        self.epoch = ""

    def copy_texts(self, batch: DecodedBatch) -> dict[str, str]:
        """The batch in COPY text format, by stream; thread-safe."""
        return {name: _copy_text(get_stream(name), list(rows.values())) for name, rows in batch.rows.items()}

    def write(
        self,
        batch: DecodedBatch,
        texts: Mapping[str, str] | None = None,
        next_offsets: Mapping[Partition, int] | None = None,
    ) -> list[StoredRows]:
        """Stores the new rows of `batch`, its rejected messages and the offsets after it.

        Returns the new rows by stream, in `seq` order. `texts` is the result of `copy_texts`, if available. Raises
        BatchRejected, DatabaseWentBack or the database's error; then the batch is not stored. After a connection loss
        within the commit its result is unknown: storing again creates no duplicates.
        """
        next_offsets = next_offsets or {}
        with self._transaction() as cursor:
            rows_by_stream = _rows_by_stream({**batch.rows, **derive(batch.rows, batch.validated_at)})
            _insert_rejected(cursor, batch.rejected)
            for name, rows in rows_by_stream.items():
                stream = get_stream(name)
                copy_in(cursor, sql.copy_in(stream), (texts or {}).get(name) or _copy_text(stream, rows))
            failpoint("copied")
            streams = [get_stream(name) for name in rows_by_stream]
            cursor.execute(sql.store_and_commit(streams, _advance_offsets(cursor, next_offsets)))
            results = _write_results(cursor.fetchall())
        self._offsets.advance(next_offsets)
        _count(batch, rows_by_stream, results)
        return _stored(rows_by_stream, results, batch.sent_ms, self.epoch)

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        """Yields a cursor in a transaction that the caller commits; any exception rolls it back."""
        with normalize_db_errors(), connection.cursor() as cursor, connection.wrap_database_errors:
            if self._session is not connection.connection:
                _prepare(cursor)
                self._session = connection.connection
            cursor.execute(sql.BEGIN)
            try:
                self._check_history(cursor.fetchall())
                yield cursor
            except BaseException as error:
                _roll_back()
                if sqlstate(error).startswith(DATA_ERRORS):
                    raise BatchRejected(str(error).strip()) from error
                raise

    def _check_history(self, rows: Sequence[tuple[str, str | None, int, int]]) -> None:
        """`rows`: epoch, topic, partition, next offset; without stored offsets one row with nulls."""
        self.epoch = rows[0][0]
        self._offsets.check(self.epoch, [(topic, partition, offset) for _, topic, partition, offset in rows])


def _advance_offsets(cursor: Any, offsets: Mapping[Partition, int]) -> str:
    """The statement as text, for the string that stores and commits."""
    rows = b", ".join(cursor.mogrify("(%s, %s, %s)", row) for row in consumer_offsets.values(offsets))
    return consumer_offsets.ADVANCE % rows.decode() if rows else ""


def _prepare(cursor: Any) -> None:
    # A stream without its row in `streams` would assign no `seq`, and its rows would not be stored.
    ensure_streams()
    # Without it, a crash after the response could lose the commit, and its `seq` would be assigned to another fact.
    cursor.execute("SET synchronous_commit = on")
    cursor.execute(sql.CREATE_STORED)
    for stream in all_streams():
        cursor.execute(sql.create_incoming(stream))


def _roll_back() -> None:
    try:
        connection.connection.cursor().execute("ROLLBACK")
    except psycopg2.Error:
        connection.close()


def _rows_by_stream(rows: Rows) -> RowsByStream:
    """The rows by stream, derived streams after their sources."""
    names = [stream.name for stream in sorted(all_streams(), key=lambda stream: bool(stream.derives_from))]
    return {name: list(rows[name].values()) for name in names if rows.get(name)}


def _copy_text(stream: Stream, rows: Sequence[PendingRow]) -> str:
    if not rows:
        return ""
    values = columns_of([pending.row for pending in rows], sql.row_columns(stream))
    columns = [range(len(rows)), [pending.event_key for pending in rows], *values]
    if stream.derives_from:
        columns += [[pending.source_stream for pending in rows], [pending.source_ord for pending in rows]]
    return copy_lines(columns)


def _insert_rejected(cursor: Any, rejected: Sequence[RejectedMessage]) -> None:
    # Sorted by offset: two consumers that insert the same messages in different orders would deadlock.
    ordered = sorted(rejected, key=lambda rejected_message: rejected_message.message[:3])
    execute_values(cursor.cursor, sql.INSERT_DEAD_LETTERS, [_dead_letter_values(message) for message in ordered])


def _dead_letter_values(rejected: RejectedMessage) -> tuple[Any, ...]:
    message, reason, error = rejected
    error = error.replace("\0", "")[:2000]
    return (*message[:3], message.key, message.value, reason.value, error, _time_of(message))


def _time_of(message: KafkaMessage) -> datetime | None:
    """The message's Kafka timestamp; None if the producer set a value outside the range of datetime."""
    try:
        return datetime.fromtimestamp(message.timestamp_ms / 1000, UTC) if message.timestamp_ms > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def _write_results(runs: Iterable[tuple[str, int | None, int, int]]) -> dict[str, WriteResult]:
    """Expands runs (stream, first `seq`, first position, last position); a run without `seq` is a conflict."""
    results: dict[str, WriteResult] = {}
    for stream, seq, first, last in runs:
        new, conflicts = results.setdefault(stream, WriteResult({}, []))
        positions = range(first, last + 1)
        if seq is None:
            conflicts += positions
        else:
            new.update(zip(positions, count(seq), strict=False))
    return results


def _count(batch: DecodedBatch, rows_by_stream: RowsByStream, results: Mapping[str, WriteResult]) -> None:
    conflicts = batch.conflicts.copy()
    for name, rows in rows_by_stream.items():
        result = results.get(name, EMPTY_RESULT)
        metrics.INGEST_ROWS_STORED_TOTAL.labels(name).inc(len(result.new))
        metrics.INGEST_DUPLICATES_TOTAL.labels(name).inc(len(rows) - len(result.new))
        conflicts += [(name, rows[position].row) for position in result.conflicts]
    _log_conflicts(conflicts)
    for message in batch.rejected:
        metrics.INGEST_REJECTED_MESSAGES_TOTAL.labels(message.reason.value).inc()


def _log_conflicts(conflicts: Sequence[tuple[str, Row]]) -> None:
    rows_by_stream: dict[str, list[Row]] = {}
    for name, row in conflicts:
        rows_by_stream.setdefault(name, []).append(row)
    for name, rows in rows_by_stream.items():
        metrics.INGEST_CONFLICTS_TOTAL.labels(name).inc(len(rows))
        text = "%s: %s conflicts with stored facts, not applied; the first: %.500s"
        # Encoded as JSON: the repr of a struct shows raw JSON fields as memory addresses.
        log.warning(text, name, len(rows), msgspec.json.encode(rows[0]).decode())


def _stored(
    rows_by_stream: RowsByStream, results: Mapping[str, WriteResult], sent_ms: int, epoch: str
) -> list[StoredRows]:
    stored = []
    for name, pending in rows_by_stream.items():
        new = results.get(name, EMPTY_RESULT).new
        if new:
            rows = [pending[position].row.with_seq(seq) for position, seq in new.items()]
            facts = [pending[position].fact for position in new]
            stored.append(StoredRows(get_stream(name), rows, facts, sent_ms, epoch))
    return stored
