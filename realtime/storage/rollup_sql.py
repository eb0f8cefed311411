"""Counters as SQL: how they come from facts, and how they change.

A counter is of one coin, or of all together (""), in one period; it has a number and a sum for each side.
"""

from collections.abc import Iterator
from typing import NamedTuple

from realtime.streams import RollupSpec, Stream

# A minute, an hour, a day, thirty days, in seconds: each is whole ones of the one before, from 1970 on.
PERIODS = (60, 3_600, 86_400, 2_592_000)

KEY = "stream, seconds, coin, start"


class RollupCell(NamedTuple):
    """A column of a counter, and what it is of facts, as SQL."""

    name: str
    of_facts: str


def cells(by: RollupSpec) -> Iterator[RollupCell]:
    """`count_1` and `sum_1` are of the first side, and so on; there are no sums where nothing is summed."""
    for place, side in enumerate(by.sides, 1):
        of_side = f"FILTER (WHERE {by.side} = '{side.value}')"
        yield RollupCell(f"count_{place}", f"count(*) {of_side}")
        if by.value:
            # With the places of the column: it goes out as it is.
            yield RollupCell(f"sum_{place}", f"coalesce(sum({by.value}) {of_side}, 0::numeric(48, 8))")


def columns(by: RollupSpec) -> str:
    """In the order in which `period_rollups` gives them."""
    return ", ".join([KEY, *(cell.name for cell in cells(by))])


def minute_rollup(stream: Stream, by: RollupSpec, facts: str) -> str:
    """Of the rows in `facts`: coin, or "" for all together, start of the minute, and each cell.

    What many rows have in common is added up once.
    """
    of_facts = ", ".join(f"{cell.of_facts} AS {cell.name}" for cell in cells(by))
    return (
        f"SELECT coalesce(coin, '') AS coin, start, {rollup_sum(by)} FROM ("
        f"SELECT coin, date_bin('1 minute', {stream.time}, 'epoch') AS start, {of_facts} FROM {facts} GROUP BY 1, 2"
        ") AS of_coin GROUP BY GROUPING SETS ((coin, start), (start))"
    )


def period_rollups(stream: Stream, by: RollupSpec) -> str:
    """Counters of every length of period, from `minute_rollup`."""
    periods = ", ".join(f"({seconds})" for seconds in PERIODS)
    return (
        f"SELECT '{stream.name}' AS stream, seconds, coin, "
        f"date_bin(make_interval(secs => seconds), start, 'epoch') AS start, {rollup_sum(by)} "
        f"FROM minute_rollup, (VALUES {periods}) AS period (seconds) GROUP BY 2, 3, 4"
    )


def rollup_delta(by: RollupSpec, sign: str, other: str) -> str:
    """What an UPDATE of counters `known` sets, by those of `other`."""
    return ", ".join(f"{cell.name} = known.{cell.name} {sign} {other}.{cell.name}" for cell in cells(by))


def counts(by: RollupSpec, table: str) -> str:
    """Of all sides, as a row to compare."""
    return f"({', '.join(f'{table}.{cell.name}' for cell in cells(by) if cell.name.startswith('count'))})"


def rollup_sum(by: RollupSpec) -> str:
    """The cells of several counters together, each by its name."""
    return ", ".join(f"sum({cell.name}) AS {cell.name}" for cell in cells(by))
