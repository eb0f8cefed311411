"""The statements that store a batch, made from what a stream says of itself.

For each stream a session has a temporary table `incoming_<name>` with the rows offered, in order (`ord`), and one
more, `stored`, with what became of them: `seq` where a row was new, null where one is known with other values.
"""

from collections.abc import Sequence

from hyperwatch.db.fields import JsonTextField
from realtime.storage.copy_format import table_columns
from realtime.storage.rollup_sql import KEY, columns, minute_rollup, period_rollups, rollup_delta
from realtime.storage.sequences import lock
from realtime.streams import Stream

# After each commit `stored` must still be there to be read: it is emptied when the next batch begins.
CREATE_STORED = "CREATE TEMPORARY TABLE IF NOT EXISTS stored (stream text, ord int, seq bigint) ON COMMIT PRESERVE ROWS"
BEGIN = "BEGIN; TRUNCATE stored"
# What is new comes in runs, most often all of a batch in one; each that is known with other values is one for itself.
COMMIT = """COMMIT;
SELECT stream, min(seq), min(ord), max(ord) FROM stored
GROUP BY stream, seq IS NULL, coalesce(seq, 0) - ord ORDER BY 1, 3"""
INSERT_DEAD_LETTERS = """
INSERT INTO dead_letters (topic, partition, "offset", key, bytes, reason, error, sent_at)
VALUES %s ON CONFLICT DO NOTHING"""


def pending_table(stream: Stream) -> str:
    return f"incoming_{stream.name}"


def row_columns(stream: Stream) -> list[str]:
    """The row's fields that are copied into the temporary table."""
    return [*table_columns(stream), *stream.extra_columns]


def incoming_columns(stream: Stream) -> list[str]:
    """What is copied into the temporary table, in this order."""
    derived = ["source_stream", "source_ord"] if stream.derives_from else []
    return ["ord", "event_key", *row_columns(stream), *derived]


def create_incoming(stream: Stream) -> str:
    """A temporary table with the types of the real one: what does not fit is refused while no lock is held."""
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
    """Drops what is known, numbers and inserts what is new, keeps the newest of each coin and the head.

    OFFSET 0 keeps the probe a probe: a temporary table has no statistics, and the planner would scan the table.
    There is no ON CONFLICT on the numbered insert: a violation there is a bug and must be loud.
    """
    columns = table_columns(stream)
    listed = ", ".join(columns)
    return f"""
WITH probed AS MATERIALIZED (
    SELECT i.*, known.differs FROM {pending_table(stream)} i {_only_from_new(stream)}
    LEFT JOIN LATERAL (
        SELECT {_tuple(stream, "t")} IS DISTINCT FROM {_tuple(stream, "i")} OR {stream.conflict_check} AS differs
        FROM {stream.model._meta.db_table} t WHERE t.event_key = i.event_key OFFSET 0
    ) known ON true
), fresh AS MATERIALIZED (
    SELECT p.*, s.head + row_number() OVER (ORDER BY ord) AS seq
    FROM probed p, streams s WHERE s.name = '{stream.name}' AND p.differs IS NULL
), inserted AS (
    INSERT INTO {stream.model._meta.db_table} (id, event_key, {listed})
    SELECT seq, event_key, {listed} FROM fresh
), newest AS (
    INSERT INTO newest_of_coin (stream, coin, time, seq)
    SELECT DISTINCT ON (coin) '{stream.name}', coin, {stream.time}, seq FROM fresh
    ORDER BY coin, {stream.time} DESC, seq DESC
    ON CONFLICT (stream, coin) DO UPDATE SET time = excluded.time, seq = excluded.seq
    WHERE (excluded.time, excluded.seq) > (newest_of_coin.time, newest_of_coin.seq)
){_counted(stream)}, moved AS (
    UPDATE streams SET head = (SELECT max(seq) FROM fresh) WHERE name = '{stream.name}' AND EXISTS (SELECT 1 FROM fresh)
)
INSERT INTO stored SELECT '{stream.name}', ord, seq FROM fresh
UNION ALL SELECT '{stream.name}', ord, NULL FROM probed WHERE differs"""


def _counted(stream: Stream) -> str:
    by = stream.rollup
    if by is None:
        return ""
    return f""", minute_rollup AS MATERIALIZED (
    {minute_rollup(stream, by, "fresh")}
), counted AS (
    INSERT INTO period_counts AS known ({columns(by)})
    {period_rollups(stream, by)}
    ON CONFLICT ({KEY}) DO UPDATE SET {rollup_delta(by, "+", "excluded")}
)"""


def store_and_commit(streams: Sequence[Stream]) -> str:
    """Lock, store and commit in one string; `streams` in the order in which they derive from one another."""
    if not streams:
        return COMMIT
    statements = [lock(streams)]
    for stream in streams:
        statements += [store(stream), *([stream.after_insert] if stream.after_insert else [])]
    return ";\n".join([*statements, COMMIT])


def _only_from_new(stream: Stream) -> str:
    if not stream.derives_from:
        return ""
    return "JOIN stored source ON source.stream = i.source_stream AND source.ord = i.source_ord AND source.seq > 0"


def _tuple(stream: Stream, table: str) -> str:
    # `json` has no equality of its own.
    json = {field.name for field in stream.model._meta.concrete_fields if isinstance(field, JsonTextField)}
    return f"({', '.join(f'{table}.{name}' + '::text' * (name in json) for name in table_columns(stream))})"
