"""The time of each delivery, read from the files that a WebSocket worker dumps after a run."""

from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hyperwatch.bench.load.framing import frames


class DeliveryLog:
    """`payloads` are the frames in the order of receipt, the same for every client."""

    def __init__(self, folder: Path, clients: int) -> None:
        received = list(frames((folder / "expected").read_bytes()))
        self.payloads = [payload for _, payload in received]
        self._ends = [end for end, _ in received]
        self._clients = [
            (_array("q", folder / f"offsets-{number}"), _array("d", folder / f"times-{number}"))
            for number in range(clients)
        ]

    def times(self) -> Iterator[list[float]]:
        """For each timed client the time (`time.monotonic`) of each frame that it received."""
        for offsets, times in self._clients:
            yield list(self._frame_times(offsets, times))

    def _frame_times(self, offsets: "array[Any]", times: "array[Any]") -> Iterator[float]:
        index = 0
        for end in self._ends:
            while index < len(offsets) and offsets[index] < end:
                index += 1
            if index == len(offsets):
                return
            yield times[index]


class Percentiles(NamedTuple):
    p50: float
    p99: float
    max: float


def percentiles(values: Sequence[float]) -> Percentiles:
    """Of at least one value; the p99 of 100 values is the 99th."""
    ordered = sorted(values)
    return Percentiles(ordered[len(ordered) // 2], ordered[(len(ordered) * 99 - 1) // 100], ordered[-1])


def _array(kind: str, file: Path) -> "array[Any]":
    values: array[Any] = array(kind)
    values.frombytes(file.read_bytes())
    return values
