"""Exact counts and sums over any time range, from roll-ups instead of rows.

Whole minutes, hours, days and thirty days come from the roll-ups. The rest at both ends of the range, at most half a
minute each, comes from the rows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db import connection

from realtime.storage.rollup_sql import PERIODS, rollup_cells, rollup_sum
from realtime.streams import RollupSpec, Stream

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST, LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
# Maps a column's name to its SQL on rows and its SQL on roll-ups.
Columns = Mapping[str, tuple[str, str]]


class TimeRange(NamedTuple):
    """`start` ≤ t < `end`; None is unbounded."""

    start: datetime | None = None
    end: datetime | None = None


class Total(NamedTuple):
    """The number of facts and their value in USD, as decimal text."""

    facts: int
    value: str


class Totals(NamedTuple):
    """`by_side` has the order of the stream's sides; `by_coin` has (coin, facts, value) of the coins with facts.

    `since` is the oldest stored fact time, None for an empty stream.
    """

    since: datetime | None
    total: Total
    by_side: Sequence[Total]
    by_coin: Iterable[tuple[str, int, str]]


class TimeSlice(NamedTuple):
    """A part of a time range, read from the roll-ups of `seconds` length; None reads rows.

    `is_subtracted`: the part lies outside the range and is included in a larger part.
    """

    seconds: int | None
    range: TimeRange
    is_subtracted: bool = False


def totals(stream: Stream, window: TimeRange, coins: Sequence[str] | None = None) -> Totals:
    """Totals of the facts in `window`, of `coins` in the venue's spelling or of all coins.

    The stream's roll-ups must have sums.
    """
    spec = _rollup_spec(stream)
    columns = {cell.name: (cell.aggregate, cell.name) for cell in rollup_cells(spec)}
    parts, values = _RollupQuery(stream, window, columns, coins, is_by_coin=True).parts()
    sides = [(f"count_{number}", f"sum_{number}") for number, _ in enumerate(spec.sides, 1)]
    counts, usd = (" + ".join(cells) for cells in zip(*sides, strict=True))
    select_list = [
        f"(SELECT min({stream.time}) FROM {stream.model._meta.db_table})",
        # Arrays with all coins in one row: one row a coin takes 50% longer.
        *(f"coalesce(array_agg({column}), '{{}}')" for column in ("coin", f"({counts})::bigint", f"({usd})::text")),
        *(
            f"coalesce(sum({count}), 0)::bigint, coalesce(sum({value}), 0::numeric(48, 8))::text"
            for count, value in [(counts, usd), *sides]
        ),
    ]
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {', '.join(select_list)} "
            f"FROM (SELECT coin, {rollup_sum(spec)} FROM ({parts}) AS parts GROUP BY coin ORDER BY coin) AS by_coin",
            values,
        )
        since, coin_names, facts, usd_values, *pairs = cursor.fetchone()
    total, *by_side = map(Total, pairs[::2], pairs[1::2])
    # Subtracted parts can leave a coin without facts. A HAVING clause would lower the planner's row estimate:
    # PostgreSQL would sort the coins instead of reading them in index order.
    by_coin = (row for row in zip(coin_names, facts, usd_values, strict=True) if row[1])
    return Totals(since, total, by_side, by_coin)


def count(stream: Stream, window: TimeRange, coins: Sequence[str] | None = None, side: str | None = None) -> int:
    """The number of facts in `window`; without `coins` it reads the roll-ups of all coins together."""
    numbers = [number for number, known in enumerate(_rollup_spec(stream).sides, 1) if side in (None, known)]
    columns = {"facts": ("count(*)", f"({' + '.join(f'count_{number}' for number in numbers)})")}
    parts, values = _RollupQuery(stream, window, columns, coins, side).parts()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT coalesce(sum(facts), 0)::bigint FROM ({parts}) AS parts", values)
        facts: int = cursor.fetchone()[0]
        return facts


def time_slices(window: TimeRange) -> Iterator[TimeSlice]:
    """Divides the range into few parts: rows at the ends, then minutes, hours, days, and thirty days in the middle.

    Each end is rounded to the nearest boundary of the next longer period, inside the range or outside. The division
    stops where both roundings together are as long as the rest of the range.
    """
    left, right = window
    for shorter, longer in zip((None, *PERIODS), PERIODS, strict=False):
        inner_left, inner_right = left and _nearest(left, longer), right and _nearest(right, longer)
        if left and right and right - left <= _distance(left, inner_left) + _distance(inner_right, right):
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
    # The boundary may be outside the range of datetime.
    is_next_nearer = time - EARLIEST < since or (until < since and until < LATEST - time)
    return time + until if is_next_nearer else time - since


def _distance(begin: datetime | None, end: datetime | None) -> timedelta:
    return abs(end - begin) if begin and end else timedelta()


def _between(seconds: int | None, begin: datetime | None, end: datetime | None) -> Iterator[TimeSlice]:
    """The part between an end and its rounded boundary; subtracted if the boundary is outside, so `end` < `begin`."""
    if begin is not None and end is not None and begin != end:
        yield TimeSlice(seconds, TimeRange(min(begin, end), max(begin, end)), is_subtracted=end < begin)


def _rollup_spec(stream: Stream) -> RollupSpec:
    if stream.rollup is None:
        raise ValueError(f"stream {stream.name} has no roll-ups: define `rollup` in its Stream")
    return stream.rollup


class _RollupQuery(NamedTuple):
    """The query of `columns` over all parts of a range: by coin if `is_by_coin`, else in total."""

    stream: Stream
    window: TimeRange
    columns: Columns
    coins: Sequence[str] | None
    side: str | None = None
    is_by_coin: bool = False

    def parts(self) -> tuple[str, list[Any]]:
        """The UNION ALL of the parts, as SQL and its parameters."""
        parts = [self._rows(part) if part.seconds is None else self._rollups(part) for part in time_slices(self.window)]
        return " UNION ALL ".join(text for text, _ in parts), [value for _, values in parts for value in values]

    def _rows(self, part: TimeSlice) -> tuple[str, list[Any]]:
        table, side = self.stream.model._meta.db_table, {f"{_rollup_spec(self.stream).side} = %s": self.side}
        text, values = self._select(part, 0, table, self.stream.time, side)
        return text + " GROUP BY coin" * self.is_by_coin, values

    def _rollups(self, part: TimeSlice) -> tuple[str, list[Any]]:
        key = {"stream = %s": self.stream.name, "seconds = %s": part.seconds}
        text, values = self._select(part, 1, "period_counts", "start", key)
        all_coins = "" if self.coins is not None else f" AND coin {'<>' if self.is_by_coin else '='} ''"
        return text + all_coins, values

    def _select(
        self, part: TimeSlice, source: int, table: str, time: str, filters: Mapping[str, Any]
    ) -> tuple[str, list[Any]]:
        sign = "-" if part.is_subtracted else ""
        cells = [f"{sign}{expressions[source]} AS {name}" for name, expressions in self.columns.items()]
        select_list = ["coin"] * self.is_by_coin + cells
        conditions = {
            **filters,
            f"{time} >= %s": part.range.start,
            f"{time} < %s": part.range.end,
            "coin = ANY(%s::text[])": None if self.coins is None else list(self.coins),
        }
        conditions = {text: value for text, value in conditions.items() if value is not None}
        where = " AND ".join(["true", *conditions])
        return f"SELECT {', '.join(select_list)} FROM {table} WHERE {where}", list(conditions.values())
