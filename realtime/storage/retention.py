"""Removes what is older than its stream's retention: a prefix of `seq`, in small batches.

A batch is one transaction that holds the stream's lock as storing does: rows, counters and `floor` go together, so
that what is gone is known to be gone, and storing waits for a batch at most.
"""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import connection, transaction

from realtime.storage.rollup_sql import KEY, counts, minute_rollup, period_rollups, rollup_delta
from realtime.storage.sequences import lock
from realtime.streams import Stream, all_streams

PRUNE_BATCH_ROWS = 2_000
# Who waits for the lock gets it between two batches.
PRUNE_PAUSE_SECONDS = 0.01
# So much longer a fact is kept than it is taken: while it waits to be stored again it must not be pruned.
PRUNE_MARGIN = timedelta(hours=1)


class Pruned(NamedTuple):
    """How far a stream was pruned, and how many rows that were."""

    upto: int
    rows: int


def retention(stream: Stream) -> timedelta | None:
    days = settings.STREAM_RETENTION_DAYS.get(stream.name)
    return None if days is None else timedelta(days=days)


def cutoffs(now: datetime) -> dict[str, datetime]:
    """For each stream with a retention, the time before which its facts are not taken; they go MARGIN later."""
    kept = {stream.name: retention(stream) for stream in all_streams()}
    return {name: now - days for name, days in kept.items() if days is not None}


def unknown_streams() -> set[str]:
    """What the settings name and no stream is called."""
    return set(settings.STREAM_RETENTION_DAYS) - {stream.name for stream in all_streams()}


def count_prunable(stream: Stream, cutoff: datetime) -> Pruned:
    """What `prune` would come to; nothing is removed."""
    with connection.cursor() as cursor:
        cursor.execute(_PRUNABLE.format(table=_table(stream), time=stream.time), [cutoff, stream.name])
        return Pruned(*cursor.fetchone())


def prune(stream: Stream, cutoff: datetime) -> Iterator[Pruned]:
    """Each batch as it is committed, until the next row is one that stays."""
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
            _NEWEST_LEFT.format(table=_table(stream), time=stream.time), {"name": stream.name, "upto": pruned.upto}
        )
    return pruned


def _table(stream: Stream) -> str:
    return stream.model._meta.db_table


# A prefix: the first row that must stay is the end, however old those behind it are.
_PRUNABLE = """
SELECT stop.seq, stop.seq - s.floor FROM streams s, LATERAL (
    SELECT coalesce(min(t.id) - 1, s.head) AS seq FROM {table} t WHERE t.id > s.floor AND t.{time} >= %s
) stop WHERE s.name = %s"""

_STOP = """stop AS (
    SELECT s.floor, coalesce(
        (SELECT min(t.id) - 1 FROM {table} t
         WHERE t.id > s.floor AND t.id <= s.floor + %(batch)s AND t.{time} >= %(cutoff)s),
        least(s.floor + %(batch)s, s.head)
    ) AS seq FROM streams s WHERE s.name = %(name)s
)"""

# By time the newest may have been stored before one that stays; a coin of which nothing is left has none.
_NEWEST_LEFT = """
WITH removed AS (
    SELECT n.coin, kept.time, kept.seq FROM newest_of_coin n LEFT JOIN LATERAL (
        SELECT t.{time} AS time, t.id AS seq FROM {table} t WHERE t.coin = n.coin
        ORDER BY t.{time} DESC, t.id DESC LIMIT 1
    ) kept ON true WHERE n.stream = %(name)s AND n.seq <= %(upto)s
), emptied AS (
    DELETE FROM newest_of_coin n USING removed
    WHERE n.stream = %(name)s AND n.coin = removed.coin AND removed.seq IS NULL
)
UPDATE newest_of_coin n SET time = removed.time, seq = removed.seq FROM removed
WHERE n.stream = %(name)s AND n.coin = removed.coin AND removed.seq IS NOT NULL"""

_SAME = " AND ".join(f"known.{column} = less.{column}" for column in KEY.split(", "))


def _prune_sql(stream: Stream) -> str:
    table = _table(stream)
    pieces = [
        _STOP.format(table=table, time=stream.time),
        f"gone AS (DELETE FROM {table} t USING stop WHERE t.id > stop.floor AND t.id <= stop.seq RETURNING t.*)",
        "moved AS (UPDATE streams SET floor = stop.seq FROM stop WHERE name = %(name)s AND stop.seq > stop.floor)",
    ]
    if by := stream.rollup:
        pieces += [
            f"minute_rollup AS ({minute_rollup(stream, by, 'gone')})",
            f"less AS ({period_rollups(stream, by)})",
            f"uncounted AS (UPDATE period_counts known SET {rollup_delta(by, '-', 'less')} "
            f"FROM less WHERE {_SAME} AND {counts(by, 'known')} <> {counts(by, 'less')})",
            "emptied AS (DELETE FROM period_counts known USING less "
            f"WHERE {_SAME} AND {counts(by, 'known')} = {counts(by, 'less')})",
        ]
    if stream.after_delete:
        pieces.append(f"also_gone AS ({stream.after_delete})")
    return f"WITH {', '.join(pieces)} SELECT seq, seq - floor FROM stop"
