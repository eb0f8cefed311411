"""When the clients got what: read from what a swarm has kept of a run."""

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hyperwatch.bench.load.framing import frames


class DeliveryLog:
    """`payloads` are the frames in the order in which they came, the same for every client."""

    def __init__(self, folder: Path, clients: int) -> None:
        found = list(frames((folder / "tape").read_bytes()))
        self.payloads = [payload for _, payload in found]
        self._ends = [end for end, _ in found]
        self._clients = [
            (_array("q", folder / f"places-{number}"), _array("d", folder / f"times-{number}"))
            for number in range(clients)
        ]

    def times(self) -> Iterator[list[float]]:
        """For each timed client the moment (`time.monotonic`) of each frame, as far as it got."""
        for places, times in self._clients:
            yield list(self._moments(places, times))

    def _moments(self, places: "array[Any]", times: "array[Any]") -> Iterator[float]:
        note = 0
        for end in self._ends:
            while note < len(places) and places[note] < end:
                note += 1
            if note == len(places):
                return
            yield times[note]


def waits(receipts: DeliveryLog, told_at: Sequence[float]) -> list[float]:
    """For each timed client and frame how long it took; all of a client's that were not lost."""
    return [got - told for times in receipts.times() for got, told in zip(times, told_at, strict=False)]


class Spread(NamedTuple):
    p50: float
    p99: float
    max: float


def spread(values: Sequence[float]) -> Spread:
    """Of values that there are; of 100 values the 99th is the p99."""
    ordered = sorted(values)
    return Spread(ordered[len(ordered) // 2], ordered[(len(ordered) * 99 - 1) // 100], ordered[-1])


def _array(kind: str, file: Path) -> "array[Any]":
    read: array[Any] = array(kind)
    read.frombytes(file.read_bytes())
    return read
