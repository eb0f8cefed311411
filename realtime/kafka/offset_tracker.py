"""Tracks the next offset of each partition and detects offset gaps: messages that retention removed unread."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

Partition = tuple[str, int]


class MessagePosition(Protocol):
    """The position of a message: the attributes that the tracker needs."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


class OffsetGap(NamedTuple):
    """Offsets `first` to `last` (inclusive) of a partition, removed from Kafka before they were read."""

    topic: str
    partition: int
    first: int
    last: int

    @property
    def offset(self) -> int:
        """The offset to commit: the group continues after the gap."""
        return self.last

    @property
    def messages(self) -> int:
        return self.last - self.first + 1


class PartitionState(NamedTuple):
    """An assigned partition: the group's committed offset (-1: none), and Kafka's first and next offset."""

    topic: str
    partition: int
    committed: int
    low: int
    high: int

    @property
    def key(self) -> Partition:
        return self.topic, self.partition


class OffsetSource(Protocol):
    """Has the offsets from which assigned partitions are read."""

    def load(self, partitions: Sequence[PartitionState]) -> Mapping[Partition, int] | None:
        """The start offsets, without those of partitions that start at the beginning; None: ask again later."""


class GroupOffsets:
    """The offsets that the group has committed to Kafka."""

    def load(self, partitions: Sequence[PartitionState]) -> Mapping[Partition, int]:
        return {state.key: state.committed for state in partitions if state.committed >= 0}


class OffsetTracker:
    """Compares the offsets of messages with the expected ones; detected gaps stay in `gaps` until recorded.

    `low_watermark` returns the oldest offset that Kafka retains of a partition, or None without an answer.
    """

    def __init__(self, low_watermark: Callable[[Partition], int | None]) -> None:
        self.gaps: list[OffsetGap] = []
        self._low_watermark = low_watermark
        self._next: dict[Partition, int] = {}

    def reset(self, start: Mapping[Partition, int], low_watermarks: Mapping[Partition, int]) -> None:
        """Starts at the offsets `start`; retention may have passed them, which is a gap."""
        self._next = dict(start)
        # Unrecorded gaps are not committed either, so the partition's current owner detects them again.
        self.gaps.clear()
        for partition, expected in start.items():
            self._add_gap(partition, expected, low_watermarks[partition])

    def next_offset(self, partition: Partition, default: int) -> int:
        """The next expected offset, or `default` if the group has no committed offset."""
        return self._next.get(partition, default)

    def advance(self, messages: Iterable[MessagePosition]) -> None:
        """Moves past `messages`. A hole before a message is a gap only below Kafka's low watermark.

        Other holes are harmless: transaction markers occupy offsets.
        """
        unchecked = set[Partition]()
        for message in messages:
            partition, offset = (message.topic, message.partition), message.offset
            expected = self._next.get(partition, offset)
            if expected < offset:
                # After one request without an answer, each further one would wait for its timeout as well.
                low = None if unchecked else self._low_watermark(partition)
                if low is None:
                    # `_next` stays, so the next messages of the partition repeat the check.
                    unchecked.add(partition)
                    continue
                self._add_gap(partition, expected, min(offset, low))
            self._next[partition] = offset + 1

    def _add_gap(self, partition: Partition, expected: int, low: int) -> None:
        if expected < low:
            self.gaps.append(OffsetGap(*partition, expected, low - 1))
            self._next[partition] = low


def next_offsets(messages: Iterable[MessagePosition]) -> dict[Partition, int]:
    """The offset after the last message of each partition."""
    return {(message.topic, message.partition): message.offset + 1 for message in messages}
