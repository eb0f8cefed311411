"""SQL of the roll-ups: their columns, how rows aggregate to them, and how they are updated.

A roll-up is a row of `period_counts`: for one coin, or "" for all coins, in one period. It has a count and a sum for
each side.
"""

from collections.abc import Iterator
from typing import NamedTuple

from realtime.streams import RollupSpec, Stream

# A minute, an hour, a day, thirty days, in seconds. Each is a multiple of the previous one and aligned to 1970-01-01.
PERIODS = (60, 3_600, 86_400, 2_592_000)

ROLLUP_KEY = "stream, seconds, coin, start"


class RollupCell(NamedTuple):
    """A count or sum column of a roll-up, with the SQL aggregate that computes it from rows."""

    name: str
    aggregate: str


def rollup_cells(spec: RollupSpec) -> Iterator[RollupCell]:
    """`count_1` and `sum_1` for the first side, and so on; no sums if the stream has no summed column."""
    for number, side in enumerate(spec.sides, 1):
        side_filter = f"FILTER (WHERE {spec.side} = '{side.value}')"
        yield RollupCell(f"count_{number}", f"count(*) {side_filter}")
        if spec.value:
            # The scale of the column, so that the result is published without conversion.
            yield RollupCell(f"sum_{number}", f"coalesce(sum({spec.value}) {side_filter}, 0::numeric(48, 8))")


def columns(spec: RollupSpec) -> str:
    """The columns in the order of `period_rollups`."""
    return ", ".join([ROLLUP_KEY, *(cell.name for cell in rollup_cells(spec))])


def minute_rollup(stream: Stream, spec: RollupSpec, facts: str) -> str:
    """Aggregates the rows of `facts` by coin and minute, with coin "" for the total of all coins.

    The total is computed from the coins' aggregates, so each row is read once.
    """
    aggregates = ", ".join(f"{cell.aggregate} AS {cell.name}" for cell in rollup_cells(spec))
    return (
        f"SELECT coalesce(coin, '') AS coin, start, {rollup_sum(spec)} FROM ("
        f"SELECT coin, date_bin('1 minute', {stream.time}, 'epoch') AS start, {aggregates} FROM {facts} GROUP BY 1, 2"
        ") AS by_coin GROUP BY GROUPING SETS ((coin, start), (start))"
    )


def period_rollups(stream: Stream, spec: RollupSpec) -> str:
    """The roll-ups of all period lengths, from the CTE `minute_rollup`."""
    periods = ", ".join(f"({seconds})" for seconds in PERIODS)
    return (
        f"SELECT '{stream.name}' AS stream, seconds, coin, "
        f"date_bin(make_interval(secs => seconds), start, 'epoch') AS start, {rollup_sum(spec)} "
        f"FROM minute_rollup, (VALUES {periods}) AS period (seconds) GROUP BY 2, 3, 4"
    )


def rollup_delta(spec: RollupSpec, sign: str, delta: str) -> str:
    """The SET clause that adds (`sign` "+") or subtracts the cells of table `delta` in roll-ups `known`."""
    return ", ".join(f"{cell.name} = known.{cell.name} {sign} {delta}.{cell.name}" for cell in rollup_cells(spec))


def rollup_counts(spec: RollupSpec, table: str) -> str:
    """The counts of all sides as a row expression, for comparisons."""
    return f"({', '.join(f'{table}.{cell.name}' for cell in rollup_cells(spec) if cell.name.startswith('count'))})"


def rollup_sum(spec: RollupSpec) -> str:
    """The select list that adds up the cells of several roll-ups under the same names."""
    return ", ".join(f"sum({cell.name}) AS {cell.name}" for cell in rollup_cells(spec))
