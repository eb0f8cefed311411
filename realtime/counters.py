"""Counts and sums over any window, exact, without reading what lies in it.

Whole minutes, hours and days come from the counters that are kept where facts are stored; what is left at the ends of
the window, less than a minute each, from the rows.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection

from realtime.store_sql import ALL_TIME, PERIODS
from realtime.streams import Counted, Stream

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Window(NamedTuple):
    """`start` ≤ t < `end`; None is open."""

    start: datetime | None = None
    end: datetime | None = None


class Tally(NamedTuple):
    """How many facts of a coin, or of a side, there are, and their value in USD as it goes out; the other is None."""

    coin: str | None
    side: str | None
    facts: int
    value: str


class Wanted(NamedTuple):
    """Of each piece: the columns of rows and of counters, the counters of all coins, how rows are put together."""

    rows: str
    counters: str
    all_coins: str
    grouped: str = ""


class Part(NamedTuple):
    """A piece of a window that one kind of counter covers, by its length; None is the rows themselves."""

    seconds: int | None
    window: Window


def tallies(stream: Stream, window: Window, coins: Sequence[str] | None = None, side: str | None = None) -> list[Tally]:
    """Of each coin, then of each side; of all coins where none are named, as the venue writes them."""
    by = stream.counted or Counted()
    rows = f"coin, {by.side_sql} AS side, count(*) AS count, {by.value_sql} AS value"
    counters = "coin, side, count, value"
    pieces, values = _pieces(stream, window, coins, side, Wanted(rows, counters, "coin <> ''", " GROUP BY 1, 2"))
    if not pieces:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT coin, side, sum(count)::bigint, sum(value)::text FROM ({pieces}) AS pieces "
            "GROUP BY GROUPING SETS ((coin), (side)) ORDER BY 1, 2",
            values,
        )
        return [Tally(*row) for row in cursor.fetchall()]


def count(stream: Stream, window: Window, coins: Sequence[str] | None = None, side: str | None = None) -> int:
    """The facts of all of `tallies`; it reads one counter for all coins, and of the rows no more than an index has."""
    pieces, values = _pieces(stream, window, coins, side, Wanted("count(*) AS count", "count", "coin = ''"))
    if not pieces:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT coalesce(sum(count), 0)::bigint FROM ({pieces}) AS pieces", values)
        counted: int = cursor.fetchone()[0]
        return counted


def parts(window: Window) -> Iterator[Part]:
    """The window in as few pieces as there are: rows at the ends, then minutes, hours, and days in the middle."""
    if window == Window():
        yield Part(ALL_TIME, window)
        return
    lengths = (None, *PERIODS)
    left, right = window
    for shorter, longer in zip(lengths, PERIODS, strict=False):
        inner_left, inner_right = left and _up(left, longer), right and _down(right, longer)
        if inner_left is not None and inner_right is not None and inner_left >= inner_right:
            yield Part(shorter, Window(left, right))
            return
        if left != inner_left:
            yield Part(shorter, Window(left, inner_left))
        if right != inner_right:
            yield Part(shorter, Window(inner_right, right))
        left, right = inner_left, inner_right
    yield Part(PERIODS[-1], Window(left, right))


def _down(time: datetime, seconds: int) -> datetime:
    return time - (time - EPOCH) % timedelta(seconds=seconds)


def _up(time: datetime, seconds: int) -> datetime:
    return -(-(time - EPOCH) // timedelta(seconds=seconds)) * timedelta(seconds=seconds) + EPOCH


def _pieces(
    stream: Stream, window: Window, coins: Sequence[str] | None, side: str | None, wanted: Wanted
) -> tuple[str, list[Any]]:
    """SQL and its values; empty where the window is."""
    if window.start is not None and window.end is not None and window.start >= window.end:
        return "", []
    queries, values = [], list[Any]()
    counted = stream.counted or Counted()
    for part in parts(window):
        is_rows = part.seconds is None
        time = stream.time if is_rows else "start"
        # By sides, all of them too, the index has the counters of a coin in order of time.
        sides = [side] if side else None if is_rows else _sides(stream)
        given = {
            "stream = %s": None if is_rows else stream.name,
            "seconds = %s": part.seconds,
            f"{time} >= %s": part.window.start,
            f"{time} < %s": part.window.end,
            "coin = ANY(%s::text[])": None if coins is None else list(coins),
            f"{counted.side if is_rows else 'side'} = ANY(%s::text[])": sides,
        }
        where = [text for text, value in given.items() if value is not None]
        if coins is None and not is_rows:
            where.append(wanted.all_coins)
        columns, table = (wanted.rows, stream.model._meta.db_table) if is_rows else (wanted.counters, "period_counts")
        queries.append(f"SELECT {columns} FROM {table} WHERE {' AND '.join(where)}{wanted.grouped if is_rows else ''}")
        values += [value for value in given.values() if value is not None]
    return " UNION ALL ".join(queries), values


def _sides(stream: Stream) -> list[str]:
    if stream.counted is None or stream.counted.side is None:
        return [""]
    side: Any = stream.model._meta.get_field(stream.counted.side)
    return [value for value, _ in side.choices]
