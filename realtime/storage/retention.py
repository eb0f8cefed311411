"""Prunes rows older than their stream's retention: a prefix of `seq`, in small batches.

A batch is one transaction under the stream's lock, like storing. Rows, roll-ups and `floor` change together, so readers
detect pruned rows by `floor`. A writer waits for at most one batch.
"""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction

from realtime.storage.rollup_sql import ROLLUP_KEY, minute_rollup, period_rollups, rollup_counts, rollup_delta
from realtime.storage.sequences import lock
from realtime.streams import Stream, all_streams

PRUNE_BATCH_ROWS = 2_000
# Lets a writer that waits for the lock acquire it between two batches.
PRUNE_PAUSE_SECONDS = 0.01
# Rows are pruned this long after facts of their age are rejected. A reread message must find its row: without it, it
# would be stored again under a new `seq`.
PRUNE_MARGIN = timedelta(hours=1)


class Pruned(NamedTuple):
    """The highest pruned `seq` and the number of pruned rows."""

    upto: int
    rows: int


def retention(stream: Stream) -> timedelta | None:
    days = settings.STREAM_RETENTION_DAYS.get(stream.name)
    return None if days is None else timedelta(days=days)


def cutoffs(now: datetime) -> dict[str, datetime]:
    """For each stream with a retention, the time before which facts are rejected; pruned PRUNE_MARGIN later."""
    retentions = {stream.name: retention(stream) for stream in all_streams()}
    return {name: now - days for name, days in retentions.items() if days is not None}


def unknown_streams() -> set[str]:
    """Names in STREAM_RETENTION_DAYS that are not names of streams."""
    return set(settings.STREAM_RETENTION_DAYS) - {stream.name for stream in all_streams()}


def count_prunable(stream: Stream, cutoff: datetime) -> Pruned:
    """The result that `prune` would have; removes nothing."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNT_PRUNABLE.format(table=_table(stream), time=stream.time), [cutoff, stream.name])
        return Pruned(*cursor.fetchone())


def prune(stream: Stream, cutoff: datetime) -> Iterator[Pruned]:
    """Prunes in batches and yields each after its commit; ends at the first row to retain."""
    while (pruned := _prune_batch(stream, cutoff)).rows:
        yield pruned
        time.sleep(PRUNE_PAUSE_SECONDS)


@transaction.atomic
def _prune_batch(stream: Stream, cutoff: datetime) -> Pruned:
    with connection.cursor() as cursor:
        cursor.execute(lock([stream]))
        cursor.execute(_prune_sql(stream), {"name": stream.name, "cutoff": cutoff, "batch": PRUNE_BATCH_ROWS})
        pruned = Pruned(*cursor.fetchone())
        cursor.execute(
            _UPDATE_NEWEST.format(table=_table(stream), time=stream.time), {"name": stream.name, "upto": pruned.upto}
        )
    return pruned


def _table(stream: Stream) -> str:
    return stream.model._meta.db_table


# Only a prefix of `seq` is prunable: it ends before the first row to retain, also if older rows follow.
_COUNT_PRUNABLE = """
SELECT stop.seq, stop.seq - s.floor FROM streams s, LATERAL (
    SELECT coalesce(min(t.id) - 1, s.head) AS seq FROM {table} t WHERE t.id > s.floor AND t.{time} >= %s
) stop WHERE s.name = %s"""

_STOP_CTE = """stop AS (
    SELECT s.floor, coalesce(
        (SELECT min(t.id) - 1 FROM {table} t
         WHERE t.id > s.floor AND t.id <= s.floor + %(batch)s AND t.{time} >= %(cutoff)s),
        least(s.floor + %(batch)s, s.head)
    ) AS seq FROM streams s WHERE s.name = %(name)s
)"""

# The latest row by time may have a lower `seq` than retained rows, so prune can delete it: select the next latest.
# A coin without remaining rows is deleted.
_UPDATE_NEWEST = """
WITH replaced AS (
    SELECT n.coin, latest.time, latest.seq FROM newest_of_coin n LEFT JOIN LATERAL (
        SELECT t.{time} AS time, t.id AS seq FROM {table} t WHERE t.coin = n.coin
        ORDER BY t.{time} DESC, t.id DESC LIMIT 1
    ) latest ON true WHERE n.stream = %(name)s AND n.seq <= %(upto)s
), emptied AS (
    DELETE FROM newest_of_coin n USING replaced
    WHERE n.stream = %(name)s AND n.coin = replaced.coin AND replaced.seq IS NULL
)
UPDATE newest_of_coin n SET time = replaced.time, seq = replaced.seq FROM replaced
WHERE n.stream = %(name)s AND n.coin = replaced.coin AND replaced.seq IS NOT NULL"""

_SAME_KEY = " AND ".join(f"known.{column} = removed.{column}" for column in ROLLUP_KEY.split(", "))


def _prune_sql(stream: Stream) -> str:
    table = _table(stream)
    ctes = [
        _STOP_CTE.format(table=table, time=stream.time),
        f"deleted AS (DELETE FROM {table} t USING stop WHERE t.id > stop.floor AND t.id <= stop.seq RETURNING t.*)",
        "updated_floor AS (UPDATE streams SET floor = stop.seq FROM stop "
        "WHERE name = %(name)s AND stop.seq > stop.floor)",
    ]
    if spec := stream.rollup:
        ctes += [
            f"minute_rollup AS ({minute_rollup(stream, spec, 'deleted')})",
            f"removed AS ({period_rollups(stream, spec)})",
            f"updated_rollups AS (UPDATE period_counts known SET {rollup_delta(spec, '-', 'removed')} "
            f"FROM removed WHERE {_SAME_KEY} AND {rollup_counts(spec, 'known')} <> {rollup_counts(spec, 'removed')})",
            "deleted_rollups AS (DELETE FROM period_counts known USING removed "
            f"WHERE {_SAME_KEY} AND {rollup_counts(spec, 'known')} = {rollup_counts(spec, 'removed')})",
        ]
    if stream.after_delete:
        ctes.append(f"after_delete AS ({stream.after_delete})")
    return f"WITH {', '.join(ctes)} SELECT seq, seq - floor FROM stop"
