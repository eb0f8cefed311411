"""Counts and sums over any window, exact, without reading what lies in it.

Whole minutes, hours, days and thirty days come from the counters that are kept where facts are stored; what is left
at the ends of the window, half a minute each at most, from the rows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection

from realtime.storage.rollup_sql import PERIODS, cells, rollup_sum
from realtime.streams import RollupSpec, Stream

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
# A column's name, what it is of rows and what of counters, as SQL.
Columns = Mapping[str, tuple[str, str]]


class TimeRange(NamedTuple):
    """`start` ≤ t < `end`; None is open."""

    start: datetime | None = None
    end: datetime | None = None


class Total(NamedTuple):
    """How many facts there are, and their value in USD as it goes out."""

    facts: int
    value: str


class Totals(NamedTuple):
    """`by_side` in the order of the stream's sides; `by_coin` (coin, facts, value) for those of which there is a fact.

    `since` is the oldest time that the stream keeps, None where it keeps nothing.
    """

    since: datetime | None
    total: Total
    by_side: Sequence[Total]
    by_coin: Iterable[tuple[str, int, str]]


class TimeSlice(NamedTuple):
    """A piece of a window that one kind of counter covers, by its length; None is the rows themselves.

    It `is_subtracted` where it lies outside of the window, and other parts have it in them.
    """

    seconds: int | None
    range: TimeRange
    is_subtracted: bool = False


def totals(stream: Stream, window: TimeRange, coins: Sequence[str] | None = None) -> Totals:
    """Of what is in the window, of `coins` as the venue writes them; of all where none are named.

    The stream's facts have a value.
    """
    by = _counted(stream)
    columns = {cell.name: (cell.of_facts, cell.name) for cell in cells(by)}
    pieces, values = _RollupQuery(stream, window, columns, coins, is_by_coin=True).parts()
    sides = [(f"count_{place}", f"sum_{place}") for place, _ in enumerate(by.sides, 1)]
    counts, usd = (" + ".join(of_sides) for of_sides in zip(*sides, strict=True))
    shown = [
        f"(SELECT min({stream.time}) FROM {stream.model._meta.db_table})",
        # One row with all coins in it: a row for each would take half as long again.
        *(f"coalesce(array_agg({of}), '{{}}')" for of in ("coin", f"({counts})::bigint", f"({usd})::text")),
        *(
            f"coalesce(sum({count}), 0)::bigint, coalesce(sum({value}), 0::numeric(48, 8))::text"
            for count, value in [(counts, usd), *sides]
        ),
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(shown)} "
            f"FROM (SELECT coin, {rollup_sum(by)} FROM ({pieces}) AS pieces GROUP BY coin ORDER BY coin) AS of_coins",
            values,
        )
        since, named, facts, usd_values, *pairs = cursor.fetchone()
    total, *by_side = map(Total, pairs[::2], pairs[1::2])
    # Of a coin may be left nothing; were it the database that passes it over, it would take the coins for few, and
    # sort them instead of reading them in order.
    by_coin = (of_coin for of_coin in zip(named, facts, usd_values, strict=True) if of_coin[1])
    return Totals(since, total, by_side, by_coin)


def count(stream: Stream, window: TimeRange, coins: Sequence[str] | None = None, side: str | None = None) -> int:
    """How many facts there are; it reads one counter for all coins, where none is named."""
    places = [place for place, known in enumerate(_counted(stream).sides, 1) if side in (None, known)]
    columns = {"facts": ("count(*)", f"({' + '.join(f'count_{place}' for place in places)})")}
    pieces, values = _RollupQuery(stream, window, columns, coins, side).parts()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT coalesce(sum(facts), 0)::bigint FROM ({pieces}) AS pieces", values)
        counted: int = cursor.fetchone()[0]
        return counted


def time_slices(window: TimeRange) -> Iterator[TimeSlice]:
    """The window in few pieces: rows at the ends, then minutes, hours, days, and thirty days in the middle.

    An end goes to the nearest border of a longer period, be it within the window or beyond it, where that is shorter
    than the window itself.
    """
    left, right = window
    for shorter, longer in zip((None, *PERIODS), PERIODS, strict=False):
        inner_left, inner_right = left and _nearest(left, longer), right and _nearest(right, longer)
        if left and right and right - left <= _way(left, inner_left) + _way(inner_right, right):
            yield TimeSlice(shorter, TimeRange(left, right))
            return
        yield from _between(shorter, left, inner_left)
        yield from _between(shorter, inner_right, right)
        left, right = inner_left, inner_right
    yield TimeSlice(PERIODS[-1], TimeRange(left, right))


def _nearest(time: datetime, seconds: int) -> datetime:
    period = timedelta(seconds=seconds)
    since = (time - EPOCH) % period
    until = period - since
    # The calendar may end before the border.
    is_next_nearer = time - EARLIEST < since or (until < since and until < LATEST - time)
    return time + until if is_next_nearer else time - since


def _way(begin: datetime | None, end: datetime | None) -> timedelta:
    return abs(end - begin) if begin and end else timedelta()


def _between(seconds: int | None, begin: datetime | None, end: datetime | None) -> Iterator[TimeSlice]:
    """From `begin` to `end` of a window's way inwards: where they are the other way round, it lies beyond."""
    if begin is not None and end is not None and begin != end:
        yield TimeSlice(seconds, TimeRange(min(begin, end), max(begin, end)), is_subtracted=end < begin)


def _counted(stream: Stream) -> RollupSpec:
    if stream.rollup is None:
        raise ValueError(f"{stream.name} are not counted")
    return stream.rollup


class _RollupQuery(NamedTuple):
    """`columns` are put together for each coin where it `is_by_coin`, else for all of `coins`."""

    stream: Stream
    window: TimeRange
    columns: Columns
    coins: Sequence[str] | None
    side: str | None = None
    is_by_coin: bool = False

    def parts(self) -> tuple[str, list[Any]]:
        """The columns of each part, as SQL and its values."""
        pieces = [
            self._rows(part) if part.seconds is None else self._counters(part) for part in time_slices(self.window)
        ]
        return " UNION ALL ".join(text for text, _ in pieces), [value for _, values in pieces for value in values]

    def _rows(self, part: TimeSlice) -> tuple[str, list[Any]]:
        table, side = self.stream.model._meta.db_table, {f"{_counted(self.stream).side} = %s": self.side}
        text, values = self._select(part, 0, table, self.stream.time, side)
        return text + " GROUP BY coin" * self.is_by_coin, values

    def _counters(self, part: TimeSlice) -> tuple[str, list[Any]]:
        of_them = {"stream = %s": self.stream.name, "seconds = %s": part.seconds}
        text, values = self._select(part, 1, "period_counts", "start", of_them)
        together = "" if self.coins is not None else f" AND coin {'<>' if self.is_by_coin else '='} ''"
        return text + together, values

    def _select(
        self, part: TimeSlice, column: int, table: str, time: str, which: Mapping[str, Any]
    ) -> tuple[str, list[Any]]:
        sign = "-" if part.is_subtracted else ""
        shown = ["coin"] * self.is_by_coin + [f"{sign}{of[column]} AS {name}" for name, of in self.columns.items()]
        given = {
            **which,
            f"{time} >= %s": part.range.start,
            f"{time} < %s": part.range.end,
            "coin = ANY(%s::text[])": None if self.coins is None else list(self.coins),
        }
        given = {text: value for text, value in given.items() if value is not None}
        where = " AND ".join(["true", *given])
        return f"SELECT {', '.join(shown)} FROM {table} WHERE {where}", list(given.values())
