"""SQL that stores a batch, generated from the definitions of the streams.

A session has a temporary table `incoming_<name>` for each stream, with the batch's rows in order (`ord`). The
temporary table `stored` has the results: the `seq` of a new row, null for a conflict, no row for a duplicate.
"""

from collections.abc import Sequence

from hyperwatch.db.fields import JsonTextField
from realtime.storage.copy_format import table_columns
from realtime.storage.rollup_sql import ROLLUP_KEY, columns, minute_rollup, period_rollups, rollup_delta
from realtime.storage.sequences import lock
from realtime.streams import Stream

# PRESERVE ROWS: `stored` is read after the commit, and truncated when the next batch begins.
CREATE_STORED = "CREATE TEMPORARY TABLE IF NOT EXISTS stored (stream text, ord int, seq bigint) ON COMMIT PRESERVE ROWS"
# Also reads what the database has stored so far: one that went back in time has less.
BEGIN = """BEGIN; TRUNCATE stored;
SELECT e.value, o.topic, o.partition, o.next_offset
FROM epoch e LEFT JOIN consumer_offsets o ON true WHERE e.id = 1"""
# Groups new rows into runs of consecutive `seq`, usually one a batch; each conflict is its own run.
COMMIT = """COMMIT;
SELECT stream, min(seq), min(ord), max(ord) FROM stored
GROUP BY stream, seq IS NULL, coalesce(seq, 0) - ord ORDER BY 1, 3"""
INSERT_DEAD_LETTERS = """
INSERT INTO dead_letters (topic, partition, "offset", key, bytes, reason, error, sent_at)
VALUES %s ON CONFLICT DO NOTHING"""


def pending_table(stream: Stream) -> str:
    return f"incoming_{stream.name}"


def row_columns(stream: Stream) -> list[str]:
    """The fields of the row struct that COPY writes to the temporary table."""
    return [*table_columns(stream), *stream.extra_columns]


def incoming_columns(stream: Stream) -> list[str]:
    """The columns of the temporary table, in COPY order."""
    derived = ["source_stream", "source_ord"] if stream.derives_from else []
    return ["ord", "event_key", *row_columns(stream), *derived]


def create_incoming(stream: Stream) -> str:
    """A temporary table with the column types of the real one, so that invalid values fail before any lock."""
    extra = {
        **stream.extra_columns,
        **({"source_stream": "text", "source_ord": "int"} if stream.derives_from else {}),
    }
    columns = ["0 AS ord", "event_key", *table_columns(stream)]
    columns += [f"NULL::{kind} AS {name}" for name, kind in extra.items()]
    return (
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {pending_table(stream)} ON COMMIT DELETE ROWS "
        f"AS SELECT {', '.join(columns)} FROM {stream.model._meta.db_table} WITH NO DATA"
    )


def copy_in(stream: Stream) -> str:
    return f"COPY {pending_table(stream)} ({', '.join(incoming_columns(stream))}) FROM STDIN"


def store(stream: Stream) -> str:
    """Drops duplicates, numbers and inserts new rows, updates the latest row of each coin, roll-ups and the head.

    OFFSET 0 enforces an index probe for each row: without statistics of the temporary table, the planner would scan
    the whole table. The insert has no ON CONFLICT: a violation there is a bug and must raise an error.
    """
    columns = table_columns(stream)
    listed = ", ".join(columns)
    return f"""
WITH probed AS MATERIALIZED (
    SELECT i.*, known.is_conflict FROM {pending_table(stream)} i {_join_new_sources(stream)}
    LEFT JOIN LATERAL (
        SELECT {_tuple(stream, "t")} IS DISTINCT FROM {_tuple(stream, "i")} OR {stream.conflict_check} AS is_conflict
        FROM {stream.model._meta.db_table} t WHERE t.event_key = i.event_key OFFSET 0
    ) known ON true
), new_rows AS MATERIALIZED (
    SELECT p.*, s.head + row_number() OVER (ORDER BY ord) AS seq
    FROM probed p, streams s WHERE s.name = '{stream.name}' AND p.is_conflict IS NULL
), inserted AS (
    INSERT INTO {stream.model._meta.db_table} (id, event_key, {listed})
    SELECT seq, event_key, {listed} FROM new_rows
), updated_newest AS (
    INSERT INTO newest_of_coin (stream, coin, time, seq)
    SELECT DISTINCT ON (coin) '{stream.name}', coin, {stream.time}, seq FROM new_rows
    ORDER BY coin, {stream.time} DESC, seq DESC
    ON CONFLICT (stream, coin) DO UPDATE SET time = excluded.time, seq = excluded.seq
    WHERE (excluded.time, excluded.seq) > (newest_of_coin.time, newest_of_coin.seq)
){_rollup_ctes(stream)}, updated_head AS (
    UPDATE streams SET head = (SELECT max(seq) FROM new_rows)
    WHERE name = '{stream.name}' AND EXISTS (SELECT 1 FROM new_rows)
)
INSERT INTO stored SELECT '{stream.name}', ord, seq FROM new_rows
UNION ALL SELECT '{stream.name}', ord, NULL FROM probed WHERE is_conflict"""


def _rollup_ctes(stream: Stream) -> str:
    spec = stream.rollup
    if spec is None:
        return ""
    return f""", minute_rollup AS MATERIALIZED (
    {minute_rollup(stream, spec, "new_rows")}
), updated_rollups AS (
    INSERT INTO period_counts AS known ({columns(spec)})
    {period_rollups(stream, spec)}
    ON CONFLICT ({ROLLUP_KEY}) DO UPDATE SET {rollup_delta(spec, "+", "excluded")}
)"""


def store_and_commit(streams: Sequence[Stream], advance_offsets: str) -> str:
    """Locks, stores and commits in one multi-statement string; `streams` has derived streams after their sources."""
    statements = [lock(streams)] if streams else []
    for stream in streams:
        statements += [store(stream), *([stream.after_insert] if stream.after_insert else [])]
    return ";\n".join(filter(None, [*statements, advance_offsets, COMMIT]))


def _join_new_sources(stream: Stream) -> str:
    if not stream.derives_from:
        return ""
    return "JOIN stored source ON source.stream = i.source_stream AND source.ord = i.source_ord AND source.seq > 0"


def _tuple(stream: Stream, table: str) -> str:
    # PostgreSQL's `json` type has no equality operator.
    json = {field.name for field in stream.model._meta.concrete_fields if isinstance(field, JsonTextField)}
    return f"({', '.join(f'{table}.{name}' + '::text' * (name in json) for name in table_columns(stream))})"
