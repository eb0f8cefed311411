"""Kafka consumer: reads batches as a group member and commits the offsets of stored messages."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import confluent_kafka
from django.conf import settings

from hyperwatch.metrics import KAFKA_CONSUMER_LAG_MESSAGES
from realtime.kafka.admin import connection_config, topics
from realtime.kafka.broker_errors import describe
from realtime.kafka.offset_tracker import (
    GroupOffsets,
    MessagePosition,
    OffsetGap,
    OffsetSource,
    OffsetTracker,
    Partition,
    PartitionState,
    next_offsets,
)

log = logging.getLogger(__name__)


class KafkaMessage(NamedTuple):
    """A message of a topic; `value` is None for a tombstone, `timestamp_ms` is set by the broker or the producer."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


# A batch of the largest messages would take a gigabyte. The size is checked after each CONSUME_MESSAGES messages.
MAX_BATCH_BYTES = 16 * 1024 * 1024
CONSUME_MESSAGES = 100

# Committed offsets and watermarks are requested between two reads, so a slow broker must not block for long.
OFFSET_REQUEST_TIMEOUT_SECONDS = 1.0

# A member polls at least once a second. After this interval without a poll, a rebalance proceeds without the member.
# With librdkafka's default the others would wait for it for five minutes.
MAX_POLL_INTERVAL_MS = 15_000
# Retries a request to a broker after 10 seconds; librdkafka's default is 60.
REQUEST_TIMEOUT_MS = 10_000
# Members learn of a rebalance from the response to their heartbeat, so the interval bounds its duration.
HEARTBEAT_INTERVAL_MS = 3_000


class KafkaConsumer:
    """A member of the consumer group: reads batches from the contract's topics and commits offsets.

    `start` has the offsets to start from; by default those that the group has committed.
    """

    def __init__(self, start: OffsetSource | None = None) -> None:
        self._start: OffsetSource = start or GroupOffsets()
        self._consumer = confluent_kafka.Consumer(
            {
                "group.id": settings.KAFKA_GROUP_ID,
                "session.timeout.ms": settings.KAFKA_SESSION_TIMEOUT_MS,
                "heartbeat.interval.ms": min(HEARTBEAT_INTERVAL_MS, settings.KAFKA_SESSION_TIMEOUT_MS // 4),
                "max.poll.interval.ms": max(MAX_POLL_INTERVAL_MS, settings.KAFKA_SESSION_TIMEOUT_MS),
                "socket.timeout.ms": REQUEST_TIMEOUT_MS,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "topic.metadata.refresh.interval.ms": 5_000,
                "fetch.wait.max.ms": 100,
                "queued.max.messages.kbytes": 64 * 1024,
                # Last: KAFKA_OPTIONS have priority over the tuning above, and contain no fixed option.
                **connection_config(),
                "error_cb": self._on_error,
                "on_commit": self._on_commit,
            }
        )
        self.committed_at: datetime | None = None
        self._may_be_paused = False
        self._last_error_at = 0.0
        self._offsets = OffsetTracker(self._low_watermark)
        # Assigned partitions with unknown start offsets.
        self._unresolved: list[confluent_kafka.TopicPartition] = []
        self._lag: dict[Partition, int] = {}
        self._lag_updated_at = 0.0
        self._consumer.subscribe([topic.name for topic in topics()], on_assign=self._on_assign)

    def read(self, limit: int, timeout: float) -> list[KafkaMessage]:
        """Reads up to `limit` messages of about MAX_BATCH_BYTES; waits up to `timeout` seconds for the first only.

        Empty until the start offsets are known.
        """
        if not self._resolve_offsets():
            self.poll_paused()
            time.sleep(timeout)
            return []
        self._resume()
        records = self._consumer.consume(1, timeout)
        size = len(records)
        while records and size < MAX_BATCH_BYTES and len(records) < limit:
            more = self._consumer.consume(min(limit - len(records), CONSUME_MESSAGES), 0)
            if not more:
                break
            size += sum(len(raw.value() or b"") for raw in more)
            records += more
        self._update_lag()
        messages = [_message(raw) for raw in records if self._is_data(raw)]
        self._offsets.advance(messages)
        return messages

    @property
    def gaps(self) -> list[OffsetGap]:
        """Detected offset gaps that are not recorded yet."""
        return self._offsets.gaps

    def skip_gaps(self, gaps: Sequence[OffsetGap]) -> None:
        """Commits recorded gaps, so that a later owner of the partition does not report them again."""
        self.commit(gaps)
        self.gaps[:] = [other for other in self.gaps if other not in gaps]

    def commit(self, messages: Sequence[MessagePosition]) -> None:
        """Commits the offsets after `messages`, except in partitions that another member owns now.

        Asynchronous: a synchronous commit blocks while no broker answers, and Python handles no signal meanwhile.
        """
        # Kafka accepts a member's commit for any partition, which would reset the offset of its new owner.
        assigned = {(position.topic, position.partition) for position in self._consumer.assignment()}
        offsets = next_offsets(messages)
        owned = {partition: offset for partition, offset in offsets.items() if partition in assigned}
        self._commit_offsets(owned)
        if len(owned) < len(offsets):
            log.warning("offsets not committed: their partitions moved to another member, which rereads the messages")

    def _commit_offsets(self, offsets: Mapping[Partition, int]) -> None:
        if offsets:
            positions = [confluent_kafka.TopicPartition(*partition, offset) for partition, offset in offsets.items()]
            self._consumer.commit(offsets=positions, asynchronous=True)

    def poll_paused(self) -> None:
        """Polls with all partitions paused: keeps the group membership and serves rebalances, reads no messages."""
        self._consumer.pause(self._consumer.assignment())
        self._may_be_paused = True
        raw = self._consumer.poll(0)
        if raw is not None and self._is_data(raw):
            # A rebalance within the poll assigned an unpaused partition: rewind it, so that its message is read later.
            topic, partition, offset = _message(raw)[:3]
            position = confluent_kafka.TopicPartition(topic, partition, offset)
            self._consumer.seek(position)
            self._consumer.pause([position])

    def lag(self) -> dict[Partition, int]:
        """Unread messages of each assigned partition, as of the last `read`; thread-safe.

        Only the reading thread may call the client, which serializes calls. A second caller holds the GIL while it
        waits for `consume`. That call needs the GIL to return: a deadlock.
        """
        return self._lag

    def close(self) -> None:
        """Leaves the group, which starts the rebalance at once."""
        self._consumer.close()
        _report_lag(self._lag, {})

    def _resume(self) -> None:
        if self._may_be_paused:
            self._may_be_paused = False
            self._consumer.resume(self._consumer.assignment())

    def _on_assign(self, _consumer: confluent_kafka.Consumer, assigned: list[confluent_kafka.TopicPartition]) -> None:
        # A partition that was paused when it was revoked is still paused when it is assigned again.
        self._may_be_paused = True
        self._offsets.reset({}, {})
        self._unresolved = assigned
        self._resolve_offsets()

    def _resolve_offsets(self) -> bool:
        """Assigns the partitions at their start offsets; False while Kafka or the source of offsets does not answer."""
        if not self._unresolved:
            return True
        states = self._partition_states(self._unresolved)
        start = self._start.load(states) if states is not None else None
        if states is None or start is None:
            return False
        self._unresolved = []
        self._consumer.assign(
            [confluent_kafka.TopicPartition(*state.key, start.get(state.key, state.low)) for state in states]
        )
        self._offsets.reset(start, {state.key: state.low for state in states})
        # A member stored messages and was killed before it committed their offsets, which monitors read.
        committed = {state.key: state.committed for state in states}
        self._commit_offsets({key: offset for key, offset in start.items() if offset > committed[key]})
        return True

    def _partition_states(self, partitions: list[confluent_kafka.TopicPartition]) -> list[PartitionState] | None:
        try:
            committed = self._consumer.committed(partitions, OFFSET_REQUEST_TIMEOUT_SECONDS)
            if errors := [position.error for position in committed if position.error]:
                raise confluent_kafka.KafkaException(errors[0])
            return [
                PartitionState(position.topic, position.partition, position.offset, *self._watermarks(position))
                for position in committed
            ]
        except confluent_kafka.KafkaException as error:
            self._on_error(error.args[0])
            return None

    def _watermarks(self, position: confluent_kafka.TopicPartition) -> tuple[int, int]:
        low, high = self._consumer.get_watermark_offsets(position, OFFSET_REQUEST_TIMEOUT_SECONDS)
        return low, high

    def _low_watermark(self, partition: Partition) -> int | None:
        """The oldest retained offset, or the next offset of an empty partition; None without an answer."""
        try:
            return self._watermarks(confluent_kafka.TopicPartition(*partition))[0]
        except confluent_kafka.KafkaException as error:
            self._on_error(error.args[0])
            return None

    def _update_lag(self) -> None:
        if time.monotonic() - self._lag_updated_at < 1:
            return
        self._lag_updated_at = time.monotonic()
        lag = {}
        for position in self._consumer.position(self._consumer.assignment()):
            partition = (position.topic, position.partition)
            low, high = self._consumer.get_watermark_offsets(position, cached=True)
            if high >= 0:
                # Before the first message after a rebalance, the client has no position.
                offset = position.offset if position.offset >= 0 else self._offsets.next_offset(partition, low)
                lag[partition] = max(0, high - max(offset, 0))
        _report_lag(self._lag, lag)
        self._lag = lag

    def _is_data(self, raw: confluent_kafka.Message) -> bool:
        error = raw.error()
        if error is None:
            return True
        self._on_error(error)
        return False

    def _on_error(self, error: confluent_kafka.KafkaError) -> None:
        # librdkafka reports an error for each broker and attempt: log one line in five seconds.
        if time.monotonic() - self._last_error_at > 5:
            self._last_error_at = time.monotonic()
            log.warning("Kafka: %s; waiting for it", describe(error))

    def _on_commit(self, error: confluent_kafka.KafkaError | None, _positions: object) -> None:
        if error is None:
            self.committed_at = datetime.now(UTC)
        else:
            log.warning("offsets not committed, so their messages are read again: %s", error)


def _message(raw: Any) -> KafkaMessage:
    """Converts a consumed message, which always has a position; confluent_kafka types its fields as optional."""
    return KafkaMessage(raw.topic(), raw.partition(), raw.offset(), raw.key(), raw.value(), raw.timestamp()[1])


def _report_lag(previous: Iterable[Partition], lag: Mapping[Partition, int]) -> None:
    """Updates the gauge and removes revoked partitions, whose lag would be counted twice in a sum over members."""
    for partition in set(previous) - set(lag):
        KAFKA_CONSUMER_LAG_MESSAGES.remove(*partition)
    for partition, messages in lag.items():
        KAFKA_CONSUMER_LAG_MESSAGES.labels(*partition).set(messages)
