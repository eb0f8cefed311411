"""Counts and sums over any window, exact, without reading what lies in it.

Whole minutes, hours and days come from the counters that are kept where facts are stored; what is left at the ends of
the window, less than a minute each, from the rows.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection

from realtime.heads import KNOWN_COINS
from realtime.store_sql import ALL_TIME, PERIODS
from realtime.streams import Counted, Stream

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Window(NamedTuple):
    """`start` ≤ t < `end`; None is open."""

    start: datetime | None = None
    end: datetime | None = None


class Tally(NamedTuple):
    """How many facts of a coin and side there are, and their value in USD."""

    coin: str
    side: str
    facts: int
    value: Decimal


class Part(NamedTuple):
    """A piece of a window that one kind of counter covers, by its length; None is the rows themselves."""

    seconds: int | None
    window: Window


def tallies(
    stream: Stream,
    window: Window,
    coins: Sequence[str] | None = None,
    side: str | None = None,
    *,
    by_coin: bool = True,
) -> list[Tally]:
    """By coin and side; `coins` are names in any case, None is all of them.

    Without `by_coin` all coins are one where that costs less to read, and the coin of a tally says nothing.
    """
    if window.start is not None and window.end is not None and window.start >= window.end:
        return []
    queries, values = [], list[Any]()
    for part in parts(window):
        query, given = _rows(stream, part) if part.seconds is None else _counters(stream, part)
        where, more = _wanted(stream, part, coins, side)
        if part.seconds is None:
            where += " GROUP BY 1, 2"
        elif coins is None:
            where += " AND coin <> ''" if by_coin else " AND coin = ''"
        queries.append(f"{query}{where}")
        values += [*given, *more]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT coin, side, sum(count)::bigint, sum(value) FROM ({' UNION ALL '.join(queries)}) AS pieces "
            "GROUP BY 1, 2 ORDER BY 1, 2",
            values,
        )
        return [Tally(*row) for row in cursor.fetchall()]


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


def _counters(stream: Stream, part: Part) -> tuple[str, list[Any]]:
    query = "SELECT coin, side, count, value FROM period_counts WHERE stream = %s AND seconds = %s"
    return query, [stream.name, part.seconds]


def _rows(stream: Stream, part: Part) -> tuple[str, list[Any]]:
    by, table = stream.counted or Counted(), stream.model._meta.db_table
    return f"SELECT coin, {by.side_sql} AS side, count(*) AS count, {by.value_sql} AS value FROM {table} WHERE true", []


def _wanted(stream: Stream, part: Part, coins: Sequence[str] | None, side: str | None) -> tuple[str, list[Any]]:
    is_rows = part.seconds is None
    time = stream.time if is_rows else "start"
    side_column = (stream.counted or Counted()).side if is_rows else "side"
    conditions = {
        f"{time} >= %s": part.window.start,
        f"{time} < %s": part.window.end,
        f"coin = ANY(ARRAY({KNOWN_COINS}))": None if coins is None else [coin.lower() for coin in coins],
        f"{side_column} = %s": side,
    }
    given = {text: value for text, value in conditions.items() if value is not None}
    return "".join(f" AND {text}" for text in given), list(given.values())
