"""Counts and sums over any window, exact, without reading what lies in it.

Whole minutes, hours, days and thirty days come from the counters that are kept where facts are stored; what is left
at the ends of the window, half a minute each at most, from the rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection

from realtime.counting import PERIODS, cells
from realtime.streams import Counted, Stream

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
# A column's name, what it is of rows and what of counters, as SQL.
Columns = Mapping[str, tuple[str, str]]


class Window(NamedTuple):
    """`start` ≤ t < `end`; None is open."""

    start: datetime | None = None
    end: datetime | None = None


class Tally(NamedTuple):
    """Of a coin, or of all of them (None): how many facts of each side there are, the sides in the stream's order, and
    their values in USD as they go out; `value` is what these come to."""

    coin: str | None
    counts: Sequence[int]
    values: Sequence[str]
    value: str


class Part(NamedTuple):
    """A piece of a window that one kind of counter covers, by its length; None is the rows themselves.

    It `is_beyond` where it lies outside of the window, and other parts have it in them.
    """

    seconds: int | None
    window: Window
    is_beyond: bool = False


def tallies(stream: Stream, window: Window, coins: Sequence[str] | None = None) -> list[Tally]:
    """Of each coin of which there is a fact, then of all together; none where there is no fact.

    `coins` as the venue writes them; all where none are named. The stream's facts have a value.
    """
    columns = {cell.name: (cell.of_facts, cell.kept) for cell in cells(_counted(stream))}
    pieces, values = _pieces(stream, window, columns, coins, by_coin=True)
    if not pieces:
        return []
    counts = [f"sum({name})" for name in columns if name.startswith("counts")]
    sums = [f"sum({name})" for name in columns if name.startswith("sums")]
    shown = [f"{count}::bigint" for count in counts] + [f"({value})::text" for value in (*sums, " + ".join(sums))]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT coin, {', '.join(shown)} FROM ({pieces}) AS pieces "
            f"GROUP BY GROUPING SETS ((coin), ()) HAVING {' + '.join(counts)} > 0 ORDER BY 1",
            values,
        )
        sides = len(counts)
        return [Tally(row[0], row[1 : sides + 1], row[sides + 1 : -1], row[-1]) for row in cursor.fetchall()]


def count(stream: Stream, window: Window, coins: Sequence[str] | None = None, side: str | None = None) -> int:
    """How many facts there are; it reads one counter for all coins, and of the rows no more than an index has."""
    places = [place for place, known in enumerate(_counted(stream).sides, 1) if side in (None, known)]
    columns = {"facts": ("count(*)", f"({' + '.join(f'counts[{place}]' for place in places)})")}
    pieces, values = _pieces(stream, window, columns, coins, side)
    if not pieces:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT coalesce(sum(facts), 0)::bigint FROM ({pieces}) AS pieces", values)
        counted: int = cursor.fetchone()[0]
        return counted


def parts(window: Window) -> Iterator[Part]:
    """The window in few pieces: rows at the ends, then minutes, hours, days, and thirty days in the middle.

    An end goes to the nearest border of a longer period, be it within the window or beyond it, where that is shorter
    than the window itself.
    """
    left, right = window
    for shorter, longer in zip((None, *PERIODS), PERIODS, strict=False):
        inner_left, inner_right = left and _nearest(left, longer), right and _nearest(right, longer)
        at_ends = [*_between(shorter, left, inner_left), *_between(shorter, inner_right, right)]
        if left is not None and right is not None and right - left <= sum(map(_length, at_ends), timedelta()):
            yield Part(shorter, Window(left, right))
            return
        yield from at_ends
        left, right = inner_left, inner_right
    yield Part(PERIODS[-1], Window(left, right))


def _nearest(time: datetime, seconds: int) -> datetime:
    period = timedelta(seconds=seconds)
    since = (time - EPOCH) % period
    until = period - since
    # The calendar may end before the border.
    is_next_nearer = time - EARLIEST < since or (until < since and until < LATEST - time)
    return time + until if is_next_nearer else time - since


def _between(seconds: int | None, begin: datetime | None, end: datetime | None) -> Iterator[Part]:
    """From `begin` to `end` of a window's way inwards: where they are the other way round, it lies beyond."""
    if begin is not None and end is not None and begin != end:
        yield Part(seconds, Window(min(begin, end), max(begin, end)), is_beyond=end < begin)


def _length(part: Part) -> timedelta:
    start, end = part.window
    return end - start if start and end else timedelta.max


def _counted(stream: Stream) -> Counted:
    if stream.counted is None:
        raise ValueError(f"{stream.name} are not counted")
    return stream.counted


def _pieces(
    stream: Stream,
    window: Window,
    columns: Columns,
    coins: Sequence[str] | None,
    side: str | None = None,
    *,
    by_coin: bool = False,
) -> tuple[str, list[Any]]:
    """SQL and its values; empty where the window is."""
    if window.start is not None and window.end is not None and window.start >= window.end:
        return "", []
    queries, values = [], list[Any]()
    for part in parts(window):
        is_rows = part.seconds is None
        time = stream.time if is_rows else "start"
        given = {
            "stream = %s": None if is_rows else stream.name,
            "seconds = %s": part.seconds,
            f"{time} >= %s": part.window.start,
            f"{time} < %s": part.window.end,
            "coin = ANY(%s::text[])": None if coins is None else list(coins),
            f"{_counted(stream).side} = %s": side if is_rows else None,
        }
        where = [text for text, value in given.items() if value is not None]
        if coins is None and not is_rows:
            where.append("coin <> ''" if by_coin else "coin = ''")
        sign = "-" if part.is_beyond else ""
        shown = ["coin"] * by_coin + [f"{sign}{of[not is_rows]} AS {name}" for name, of in columns.items()]
        table = stream.model._meta.db_table if is_rows else "period_counts"
        grouped = " GROUP BY coin" if by_coin and is_rows else ""
        queries.append(f"SELECT {', '.join(shown)} FROM {table} WHERE {' AND '.join(where)}{grouped}")
        values += [value for value in given.values() if value is not None]
    return " UNION ALL ".join(queries), values
