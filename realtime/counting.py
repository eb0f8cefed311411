"""Counters as SQL: how they come from facts, and how they change.

A counter is of one coin, or of all together (""), in one period; it has a number and a sum for each side.
"""

from collections.abc import Iterator
from typing import NamedTuple

from realtime.streams import Counted, Stream

# A minute, an hour, a day, thirty days, in seconds: each is whole ones of the one before, from 1970 on.
PERIODS = (60, 3_600, 86_400, 2_592_000)

KEY = "stream, seconds, coin, start"


class Cell(NamedTuple):
    """An element of a counter's `counts` or `sums`: what it is of facts, as SQL."""

    array: str
    place: int
    of_facts: str

    @property
    def name(self) -> str:
        """As a column."""
        return f"{self.array}_{self.place}"

    @property
    def kept(self) -> str:
        return f"{self.array}[{self.place}]"


def cells(by: Counted) -> Iterator[Cell]:
    """Those of each side, in their order."""
    for place, side in enumerate(by.sides, 1):
        of_side = f"FILTER (WHERE {by.side} = '{side.value}')"
        yield Cell("counts", place, f"count(*) {of_side}")
        if by.value:
            yield Cell("sums", place, f"coalesce(sum({by.value}) {of_side}, 0)")


def by_minute(stream: Stream, by: Counted, facts: str) -> str:
    """Of the rows in `facts`: coin, or "" for all together, start of the minute, and each cell.

    What many rows have in common is added up once.
    """
    of_facts = ", ".join(f"{cell.of_facts} AS {cell.name}" for cell in cells(by))
    together = ", ".join(f"sum({cell.name}) AS {cell.name}" for cell in cells(by))
    return (
        f"SELECT coalesce(coin, '') AS coin, start, {together} FROM ("
        f"SELECT coin, date_bin('1 minute', {stream.time}, 'epoch') AS start, {of_facts} FROM {facts} GROUP BY 1, 2"
        ") AS of_coin GROUP BY GROUPING SETS ((coin, start), (start))"
    )


def by_period(stream: Stream, by: Counted) -> str:
    """Counters of every length of period, from `by_minute`: the columns of KEY, `counts` and `sums`."""
    periods = ", ".join(f"({seconds})" for seconds in PERIODS)
    arrays = ", ".join(f"{made} AS {array}" for array, made in _arrays(by, "sum({cell.name})").items())
    return (
        f"SELECT '{stream.name}' AS stream, seconds, coin, "
        f"date_bin(make_interval(secs => seconds), start, 'epoch') AS start, {arrays} "
        f"FROM by_minute, (VALUES {periods}) AS period (seconds) GROUP BY 2, 3, 4"
    )


def changed(by: Counted, change: str) -> str:
    """What an UPDATE sets; `change` is the new value of each `{cell.kept}`."""
    return ", ".join(f"{array} = {made}" for array, made in _arrays(by, change).items())


def _arrays(by: Counted, each: str) -> dict[str, str]:
    elements: dict[str, list[str]] = {"counts": [], "sums": []}
    for cell in cells(by):
        elements[cell.array].append(each.format(cell=cell))
    kinds = {"counts": "bigint[]", "sums": "numeric[]"}
    return {array: f"ARRAY[{', '.join(made)}]::{kinds[array]}" for array, made in elements.items()}
