"""The lower bound of storing a row: COPY into the table, without locks, seqs, roll-ups or duplicate checks."""

from collections.abc import Sequence
from typing import Any

from realtime.ingest.decoder import PendingRow
from realtime.storage.copy_format import columns_of, copy_in, copy_lines, table_columns
from realtime.streams import get_stream

CHANNEL = "liquidations"


def table() -> str:
    return get_stream(CHANNEL).model._meta.db_table


def columns() -> list[str]:
    return table_columns(get_stream(CHANNEL))


def text(rows: Sequence[PendingRow], first: int) -> str:
    """COPY text of the rows, with ids from `first` on."""
    ids = range(first, first + len(rows))
    values = columns_of([pending.row for pending in rows], columns())
    return copy_lines([ids, [pending.event_key for pending in rows], *values])


def copy(cursor: Any, text: str) -> None:
    copy_in(cursor, f"COPY {table()} (id, event_key, {', '.join(columns())}) FROM STDIN", text)


def last_id(cursor: Any) -> int:
    cursor.execute(f"SELECT coalesce(max(id), 0) FROM {table()}")
    (newest_id,) = cursor.fetchone()
    return int(newest_id)
