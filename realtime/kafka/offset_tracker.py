"""The offsets that are due next, and those that Kafka's retention removed before they were read."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

Partition = tuple[str, int]


class Read(Protocol):
    """A message, as far as it matters here."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


class OffsetGap(NamedTuple):
    """Offsets of a partition that nobody read and nobody will, both ends in."""

    topic: str
    partition: int
    first: int
    last: int

    @property
    def offset(self) -> int:
        """Behind it the group can go on: nothing before is there to be read."""
        return self.last

    @property
    def messages(self) -> int:
        return self.last - self.first + 1


class OffsetTracker:
    """`lowest` tells the oldest offset that Kafka still has of a partition, None where it does not answer.

    What was noticed is in `lost` until it is told.
    """

    def __init__(self, lowest: Callable[[Partition], int | None]) -> None:
        self.lost: list[OffsetGap] = []
        self._lowest = lowest
        self._next: dict[Partition, int] = {}

    def reset(self, committed: Mapping[Partition, int]) -> None:
        """Where the group stopped is what is due next, unless retention has passed that place meanwhile."""
        self._next = dict(committed)
        # What is not told is not passed over either: it is noticed again, by us or by whose partition it is now.
        self.lost.clear()
        for partition, due in committed.items():
            lowest = self._lowest(partition)
            if lowest is None:
                # Each further question would be waited for as well. The next message tells of a hole before it.
                return
            self._note(partition, due, lowest)

    def next_offset(self, partition: Partition, otherwise: int) -> int:
        """The offset of the message that is due next, `otherwise` where the group never was."""
        return self._next.get(partition, otherwise)

    def advance(self, messages: Iterable[Read]) -> None:
        """A hole in the offsets is a loss where Kafka begins behind it; there are others, a transaction's markers."""
        open_holes = set[Partition]()
        for message in messages:
            partition, offset = (message.topic, message.partition), message.offset
            due = self._next.get(partition, offset)
            if due < offset:
                # Where one question has no answer, each further one would be waited for as well.
                lowest = None if open_holes else self._lowest(partition)
                if lowest is None:
                    # It is looked at with the next messages: the hole does not go away.
                    open_holes.add(partition)
                    continue
                self._note(partition, due, min(offset, lowest))
            self._next[partition] = offset + 1

    def _note(self, partition: Partition, due: int, lowest: int) -> None:
        if due < lowest:
            self.lost.append(OffsetGap(*partition, due, lowest - 1))
            self._next[partition] = lowest
