"""Kafka consumer: reads batches as a group member and commits what was stored."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import confluent_kafka
from django.conf import settings

from hyperwatch.metrics import KAFKA_CONSUMER_LAG_MESSAGES
from realtime.kafka.admin import connection_config, topics
from realtime.kafka.offset_tracker import OffsetGap, OffsetTracker, Partition, Read

log = logging.getLogger(__name__)


class KafkaMessage(NamedTuple):
    """A message as it lay on the topic; `value` is None for a tombstone, `timestamp_ms` the broker's or producer's."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


# A batch of the largest messages would take a gigabyte; so many are taken from the client before it is looked again.
MAX_BATCH_BYTES = 16 * 1024 * 1024
CONSUME_MESSAGES = 100

# A question to a broker on the way to the next message.
OFFSET_REQUEST_TIMEOUT_SECONDS = 1.0

# A member looks after its membership every second. Who does not for so long stops a rebalance no longer: the others
# would wait for it for five minutes. And what a broker has not answered after so long is asked again, not after one.
MAX_POLL_INTERVAL_MS = 15_000
REQUEST_TIMEOUT_MS = 10_000
# A rebalance waits until every member has heard of it, which is by its heartbeat.
HEARTBEAT_INTERVAL_MS = 3_000


class KafkaConsumer:
    """A member of the group: reads batches from the contract's topics and commits what was stored."""

    def __init__(self) -> None:
        self._consumer = confluent_kafka.Consumer(
            {
                **connection_config(),
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
                "error_cb": self._on_error,
                "on_commit": self._on_commit,
            }
        )
        self.committed_at: datetime | None = None
        self._may_be_paused = False
        self._last_error_at = 0.0
        self._offsets = OffsetTracker(self._low_watermark)
        # Assigned, and Kafka has not said yet where the group stopped in them.
        self._unresolved: list[confluent_kafka.TopicPartition] = []
        self._lag: dict[Partition, int] = {}
        self._lag_noted_at = 0.0
        self._consumer.subscribe([topic.name for topic in topics()], on_assign=self._on_assign)

    def read(self, limit: int, wait: float) -> list[KafkaMessage]:
        """What there is, at most `limit` messages of MAX_BATCH_BYTES or a few more; waits up to `wait` seconds for the
        first, for no further one. None until it is known where the group stopped: what lies between is lost."""
        if not self._resolve_offsets():
            self.poll_paused()
            time.sleep(wait)
            return []
        self._resume()
        read = self._consumer.consume(1, wait)
        size = len(read)
        while read and size < MAX_BATCH_BYTES and len(read) < limit:
            more = self._consumer.consume(min(limit - len(read), CONSUME_MESSAGES), 0)
            if not more:
                break
            size += sum(len(raw.value() or b"") for raw in more)
            read += more
        self._note_lag()
        messages = [_message(raw) for raw in read if self._is_data(raw)]
        self._offsets.advance(messages)
        return messages

    @property
    def gaps(self) -> list[OffsetGap]:
        """What was noticed to have been removed before it was read, and is to be told."""
        return self._offsets.lost

    def skip_gaps(self, lost: Sequence[OffsetGap]) -> None:
        """It was told: whoever takes over the partition is not to tell it again."""
        self.commit(lost)
        self.gaps[:] = [other for other in self.gaps if other not in lost]

    def commit(self, read: Sequence[Read]) -> None:
        """Commits the places behind `read`; a place that another member has taken over is theirs to commit.

        Waits for no answer: without a broker none comes, and no signal would be seen meanwhile.
        """
        # Kafka takes a member's commit for any partition: it would put back the one whose it is now.
        ours = {(place.topic, place.partition) for place in self._consumer.assignment()}
        places = _places_behind(read)
        if kept := [place for place in places if (place.topic, place.partition) in ours]:
            self._consumer.commit(offsets=kept, asynchronous=True)
        if len(kept) < len(places):
            log.warning("offsets not committed, their partitions have gone to another member: messages will come again")

    def poll_paused(self) -> None:
        """Keeps the membership while the caller waits for something else: nothing is read, rebalances go on."""
        self._consumer.pause(self._consumer.assignment())
        self._may_be_paused = True
        raw = self._consumer.poll(0)
        if raw is not None and self._is_data(raw):
            # A partition that came in a rebalance is not paused: put its message back.
            topic, partition, offset = _message(raw)[:3]
            place = confluent_kafka.TopicPartition(topic, partition, offset)
            self._consumer.seek(place)
            self._consumer.pause([place])

    def lag(self) -> dict[Partition, int]:
        """Messages not yet read, for each assigned partition, as of the last `read`; for any thread.

        Only the thread that reads may ask the client: it lets in one call at a time, and whoever waits for a
        `consume` to end keeps the interpreter's lock meanwhile, without which that one cannot end.
        """
        return self._lag

    def close(self) -> None:
        """Leaves the group, so that others take over at once."""
        self._consumer.close()
        _report_lag(self._lag, {})

    def _resume(self) -> None:
        if self._may_be_paused:
            self._may_be_paused = False
            self._consumer.resume(self._consumer.assignment())

    def _on_assign(self, _consumer: confluent_kafka.Consumer, places: list[confluent_kafka.TopicPartition]) -> None:
        # One that was paused when a rebalance took it comes back paused.
        self._may_be_paused = True
        self._offsets.reset({})
        self._unresolved = places
        self._resolve_offsets()

    def _resolve_offsets(self) -> bool:
        """Asks for them where they are not known."""
        if not self._unresolved:
            return True
        try:
            committed = self._consumer.committed(self._unresolved, OFFSET_REQUEST_TIMEOUT_SECONDS)
        except confluent_kafka.KafkaException as error:
            self._on_error(error.args[0])
            return False
        if errors := [place.error for place in committed if place.error]:
            self._on_error(errors[0])
            return False
        self._unresolved = []
        self._offsets.reset({(place.topic, place.partition): place.offset for place in committed if place.offset >= 0})
        return True

    def _low_watermark(self, partition: Partition) -> int | None:
        """The oldest offset that Kafka still has, or that of the next message where it has none."""
        try:
            lowest: int = self._consumer.get_watermark_offsets(
                confluent_kafka.TopicPartition(*partition), OFFSET_REQUEST_TIMEOUT_SECONDS
            )[0]
        except confluent_kafka.KafkaException as error:
            self._on_error(error.args[0])
            return None
        return lowest

    def _note_lag(self) -> None:
        if time.monotonic() - self._lag_noted_at < 1:
            return
        self._lag_noted_at = time.monotonic()
        lag = {}
        for place in self._consumer.position(self._consumer.assignment()):
            low, high = self._consumer.get_watermark_offsets(place, cached=True)
            if high >= 0:
                # Where nothing came since the last rebalance there is no position.
                at = (
                    place.offset
                    if place.offset >= 0
                    else self._offsets.next_offset((place.topic, place.partition), low)
                )
                lag[(place.topic, place.partition)] = max(0, high - max(at, 0))
        _report_lag(self._lag, lag)
        self._lag = lag

    def _is_data(self, raw: confluent_kafka.Message) -> bool:
        error = raw.error()
        if error is None:
            return True
        self._on_error(error)
        return False

    def _on_error(self, error: confluent_kafka.KafkaError) -> None:
        # librdkafka repeats itself for every broker and attempt: one line in five seconds is enough.
        if time.monotonic() - self._last_error_at > 5:
            self._last_error_at = time.monotonic()
            log.warning("Kafka: %s; waiting for it", error)

    def _on_commit(self, error: confluent_kafka.KafkaError | None, _places: object) -> None:
        if error is None:
            self.committed_at = datetime.now(UTC)
        else:
            log.warning("offsets not committed, their messages will come again: %s", error)


def _message(raw: Any) -> KafkaMessage:
    """`raw` was read: its place is there and its bytes are bytes, which confluent_kafka's types leave open."""
    return KafkaMessage(raw.topic(), raw.partition(), raw.offset(), raw.key(), raw.value(), raw.timestamp()[1])


def _places_behind(batch: Iterable[Read]) -> list[confluent_kafka.TopicPartition]:
    last: dict[tuple[str, int], int] = {}
    for message in batch:
        last[(message.topic, message.partition)] = message.offset
    return [confluent_kafka.TopicPartition(topic, part, offset + 1) for (topic, part), offset in last.items()]


def _report_lag(before: Iterable[Partition], lag: Mapping[Partition, int]) -> None:
    """A series that stays after its partition moved to another member would show that one's lag twice."""
    for partition in set(before) - set(lag):
        KAFKA_CONSUMER_LAG_MESSAGES.remove(*partition)
    for partition, messages in lag.items():
        KAFKA_CONSUMER_LAG_MESSAGES.labels(*partition).set(messages)
