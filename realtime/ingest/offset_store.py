"""The offsets that a consumer starts from: those in the database, which are stored with the rows.

Kafka's group offsets are for monitoring, and reveal a database that went back in time: a restored backup, or a
failover to an older replica. It then lacks messages that the group had committed.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence

from django.db import connection

from hyperwatch.db.errors import DATABASE_UNAVAILABLE, normalize_db_errors
from hyperwatch.metrics import KAFKA_TOPIC_RESTARTS_TOTAL
from realtime.kafka.offset_tracker import Partition, PartitionState
from realtime.storage import consumer_offsets
from realtime.storage.sequences import read_epoch, rotate_epoch

log = logging.getLogger(__name__)


class DatabaseWentBack(Exception):
    """The database is older than this process has seen it; `epoch` is the one of that time."""

    def __init__(self, epoch: str, partitions: Sequence[Partition]) -> None:
        names = ", ".join(f"{topic}[{partition}]" for topic, partition in partitions)
        super().__init__(f"the database went back in time: it lacks stored messages of {names}")
        self.epoch = epoch


class OffsetStore:
    """Offsets of one consumer group member; compares the database with what this process has stored."""

    def __init__(self) -> None:
        self._stored: dict[Partition, int] = {}
        self._epoch = ""

    def load(self, partitions: Sequence[PartitionState]) -> dict[Partition, int] | None:
        """The start offsets of newly assigned partitions, without those of unread ones; None without a database.

        Starts a new epoch if the database went back in time.
        """
        try:
            with normalize_db_errors():
                return self._load(partitions)
        except DATABASE_UNAVAILABLE as error:
            log.warning("the database is unavailable (%s); its offsets are read again", str(error).strip())
            return None
        finally:
            # Assignments are rare, and the reading thread needs no connection of its own between them.
            connection.close()

    def check(self, epoch: str, rows: Iterable[tuple[str | None, int, int]]) -> None:
        """Compares the database's offsets, as (topic, partition, next offset); raises DatabaseWentBack."""
        offsets = {(topic, partition): offset for topic, partition, offset in rows}
        behind = [partition for partition, offset in self._stored.items() if offsets.get(partition, -1) < offset]
        if behind:
            raise DatabaseWentBack(self._epoch, behind)
        self._epoch = epoch

    def advance(self, offsets: Mapping[Partition, int]) -> None:
        """Remembers committed offsets."""
        for partition, offset in offsets.items():
            self._stored[partition] = max(offset, self._stored.get(partition, 0))

    def _load(self, partitions: Sequence[PartitionState]) -> dict[Partition, int]:
        stored = consumer_offsets.read()
        assigned = [state for state in partitions if state.key in stored]
        other_topics = [state for state in assigned if stored[state.key] > state.high]
        behind = [state.key for state in assigned if stored[state.key] < state.committed <= state.high]
        self._epoch = read_epoch()
        if behind:
            log.error("%s; new epoch, its messages are read again", DatabaseWentBack(self._epoch, behind))
            rotate_epoch(self._epoch)
            self._epoch = read_epoch()
        if other_topics:
            stored |= _restart(other_topics)
        self._stored = {state.key: stored[state.key] for state in assigned}
        return dict(self._stored)


def _restart(states: Sequence[PartitionState]) -> dict[Partition, int]:
    """Sets the offsets of topics that were deleted and created again to their beginning."""
    offsets = {state.key: state.low for state in states}
    consumer_offsets.replace(offsets)
    for (topic, partition), low in offsets.items():
        KAFKA_TOPIC_RESTARTS_TOTAL.labels(topic).inc()
        log.error("%s[%s] ends before the stored offset: another topic, read from offset %s", topic, partition, low)
    return offsets
