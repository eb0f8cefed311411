"""Stores a batch: once, in order, in one transaction.

COPY goes first and holds no lock: a client that stalls in it stops nobody. Then one string locks the streams'
rows, stores and commits, so that the server never waits for this client while the lock is held.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple

import msgspec
import psycopg2
from django.db import DatabaseError, OperationalError, connection
from psycopg2.extras import execute_values

from hyperwatch import metrics
from hyperwatch.db.errors import normalize_db_errors
from realtime.ingest import writer_sql as sql
from realtime.ingest.decoder import DecodedBatch, PendingRow, RejectedMessage, Rows, derive
from realtime.ingest.failpoints import failpoint
from realtime.kafka.consumer import KafkaMessage
from realtime.storage.copy_format import columns_of, copy_in, copy_lines
from realtime.storage.records import StoredRows
from realtime.storage.sequences import ensure_streams
from realtime.streams import Row, Stream, all_streams, get_stream

log = logging.getLogger(__name__)

RowsByStream = dict[str, list[PendingRow]]


class WriteResult(NamedTuple):
    """What became of the rows that were offered to a stream, by their places.

    The `new` ones have their `seq`, ascending; those that are `differing` are known with other values.
    """

    new: dict[int, int]
    differing: list[int]


NOTHING_NEW = WriteResult({}, [])

# Errors that lie in the data, by SQLSTATE: no number, no text, out of range; a null or a check; too large or deep.
DATA_ERRORS = ("22", "23502", "23514", "54")

# States that pass: a standby that is not yet the primary, a transaction that was ended for having been idle.
AWAY = ("25006", "25P03")


class BatchRejected(Exception):
    """Something in the batch is not to be stored, however often it is tried."""


class BatchWriter:
    """Stores batches over this thread's database connection."""

    def __init__(self) -> None:
        self._session: object = None

    def copy_texts(self, batch: DecodedBatch) -> dict[str, str]:
        """What COPY takes of the batch, by stream; for any thread."""
        return {name: _copy_text(get_stream(name), list(rows.values())) for name, rows in batch.rows.items()}

    def write(self, batch: DecodedBatch, texts: Mapping[str, str] | None = None) -> list[StoredRows]:
        """Stores what is new in `batch`, and its dead letters; returns what was new, by stream, in `seq` order.

        `texts` are those of the batch, where they were made already.

        Raises BatchRejected, or what the database raises; then nothing is stored. Where the connection
        breaks in the commit, it is open whether it was: storing again stores nothing twice.
        """
        with self._transaction() as cursor:
            offered = _rows_by_stream({**batch.rows, **derive(batch.rows)})
            _insert_rejected(cursor, batch.rejected)
            for name, rows in offered.items():
                stream = get_stream(name)
                copy_in(cursor, sql.copy_in(stream), (texts or {}).get(name) or _copy_text(stream, rows))
            failpoint("copied")
            cursor.execute(sql.store_and_commit([get_stream(name) for name in offered]))
            outcomes = _write_results(cursor.fetchall())
        _count(batch, offered, outcomes)
        return _stored(offered, outcomes, batch.sent_ms)

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        """A cursor in a transaction that its user commits; whatever else happens rolls it back."""
        with normalize_db_errors(), connection.cursor() as cursor, connection.wrap_database_errors:
            if self._session is not connection.connection:
                _prepare(cursor)
                self._session = connection.connection
            cursor.execute(sql.BEGIN)
            try:
                yield cursor
            except BaseException as error:
                _roll_back()
                if _sqlstate(error).startswith(DATA_ERRORS):
                    raise BatchRejected(str(error).strip()) from error
                if _sqlstate(error).startswith(AWAY):
                    raise OperationalError(str(error).strip()) from error
                raise


def _prepare(cursor: Any) -> None:
    # A stream without its row would number nothing, and what is not numbered is not stored.
    ensure_streams()
    # A server that answers before the commit is on disk could give a number to another fact after a crash.
    cursor.execute("SET synchronous_commit = on")
    cursor.execute(sql.CREATE_STORED)
    for stream in all_streams():
        cursor.execute(sql.create_incoming(stream))


def _sqlstate(error: BaseException) -> str:
    # A cursor of Django's raises its own exceptions around psycopg2's, but for COPY, which it does not know.
    origin = error.__cause__ if isinstance(error, DatabaseError) else error
    return (origin.pgcode or "") if isinstance(origin, psycopg2.Error) else ""


def _roll_back() -> None:
    try:
        connection.connection.cursor().execute("ROLLBACK")
    except psycopg2.Error:
        connection.close()


def _rows_by_stream(rows: Rows) -> RowsByStream:
    """The rows by stream; a stream comes after those it derives from."""
    names = [stream.name for stream in sorted(all_streams(), key=lambda stream: bool(stream.derives_from))]
    return {name: list(rows[name].values()) for name in names if rows.get(name)}


def _copy_text(stream: Stream, rows: Sequence[PendingRow]) -> str:
    if not rows:
        return ""
    values = columns_of([incoming.row for incoming in rows], sql.row_columns(stream))
    columns = [range(len(rows)), [incoming.event_key for incoming in rows], *values]
    if stream.derives_from:
        columns += [[incoming.source_stream for incoming in rows], [incoming.source_ord for incoming in rows]]
    return copy_lines(columns)


def _insert_rejected(cursor: Any, letters: Sequence[RejectedMessage]) -> None:
    # In the order of their places: two consumers with the same letters would wait for each other in any other.
    ordered = sorted(letters, key=lambda letter: letter.message[:3])
    execute_values(cursor.cursor, sql.INSERT_DEAD_LETTERS, [_dead_letter_values(letter) for letter in ordered])


def _dead_letter_values(letter: RejectedMessage) -> tuple[Any, ...]:
    message, reason, error = letter
    error = error.replace("\0", "")[:2000]
    return (*message[:3], message.key, message.value, reason.value, error, _time_of(message))


def _time_of(message: KafkaMessage) -> datetime | None:
    """The message's Kafka timestamp; whoever produced it may have put anything there."""
    try:
        return datetime.fromtimestamp(message.timestamp_ms / 1000, UTC) if message.timestamp_ms > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def _write_results(runs: Iterable[tuple[str, int | None, int, int]]) -> dict[str, WriteResult]:
    """Of runs (stream, first `seq`, first place, last place); there is no `seq` where the rows differ."""
    outcomes: dict[str, WriteResult] = {}
    for stream, seq, first, last in runs:
        new, differing = outcomes.setdefault(stream, WriteResult({}, []))
        places = range(first, last + 1)
        if seq is None:
            differing += places
        else:
            new.update(zip(places, count(seq), strict=False))
    return outcomes


def _count(batch: DecodedBatch, offered: RowsByStream, outcomes: Mapping[str, WriteResult]) -> None:
    differing = batch.conflicts.copy()
    for name, rows in offered.items():
        outcome = outcomes.get(name, NOTHING_NEW)
        metrics.INGEST_ROWS_STORED_TOTAL.labels(name).inc(len(outcome.new))
        metrics.INGEST_DUPLICATES_TOTAL.labels(name).inc(len(rows) - len(outcome.new))
        differing += [(name, rows[place].row) for place in outcome.differing]
    _log_conflicts(differing)
    for letter in batch.rejected:
        metrics.INGEST_REJECTED_MESSAGES_TOTAL.labels(letter.reason.value).inc()


def _log_conflicts(differing: Sequence[tuple[str, Row]]) -> None:
    rows: dict[str, list[Row]] = {}
    for name, row in differing:
        rows.setdefault(name, []).append(row)
    for name, others in rows.items():
        metrics.INGEST_CONFLICTS_TOTAL.labels(name).inc(len(others))
        told = "%s: known facts came with other values, which changed nothing: %s; the first of them: %.500s"
        # As on the wire: the struct's own text shows raw JSON as an object in memory.
        log.warning(told, name, len(others), msgspec.json.encode(others[0]).decode())


def _stored(offered: RowsByStream, outcomes: Mapping[str, WriteResult], sent_ms: int) -> list[StoredRows]:
    stored = []
    for name, incoming in offered.items():
        new = outcomes.get(name, NOTHING_NEW).new
        if new:
            rows = [incoming[place].row.with_seq(seq) for place, seq in new.items()]
            facts = [incoming[place].fact for place in new]
            stored.append(StoredRows(get_stream(name), rows, facts, sent_ms))
    return stored
