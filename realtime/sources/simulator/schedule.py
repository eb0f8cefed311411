"""Schedule of each coin's state messages: all within the first seconds, then at intervals, staggered by coin."""

import heapq
from collections.abc import Iterator
from typing import NamedTuple

from realtime.sources.simulator.message_builder import Kind

SECOND_US = 1_000_000
FIRST_ROUND_US = 4 * SECOND_US
INTERVALS_US = {
    Kind.LONG_SHORT_RATIO: 10 * SECOND_US,
    Kind.LIQUIDATION_MAP: 20 * SECOND_US,
    Kind.POSITION_SUMMARY: 60 * SECOND_US,
}


class ScheduleEntry(NamedTuple):
    due_us: int
    kind: Kind
    number: int


class Schedule:
    """Due times of the state messages of `coins` coins, as a heap."""

    def __init__(self, coins: int) -> None:
        self._coins = coins
        self._entries = [
            ScheduleEntry(FIRST_ROUND_US * number // coins, kind, number)
            for kind in INTERVALS_US
            for number in range(coins)
        ]
        heapq.heapify(self._entries)

    def due(self, now_us: int) -> Iterator[tuple[Kind, int]]:
        """Yields the entries due at `now_us` as (kind, coin number); missed intervals are skipped."""
        while self._entries[0].due_us <= now_us:
            _, kind, number = self._entries[0]
            yield kind, number
            heapq.heapreplace(self._entries, ScheduleEntry(self._next(now_us, kind, number), kind, number))

    def _next(self, now_us: int, kind: Kind, number: int) -> int:
        interval = INTERVALS_US[kind]
        phase = interval * number // self._coins
        return ((now_us - phase) // interval + 1) * interval + phase
