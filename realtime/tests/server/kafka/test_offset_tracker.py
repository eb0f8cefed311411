"""What Kafka's retention removed is noticed once, whatever else happens meanwhile."""

import os
from collections.abc import Iterable
from typing import Any

import confluent_kafka

from hyperwatch.harness.kafka import MockKafka
from hyperwatch.tests.services.waiting import wait_until
from realtime.kafka.consumer import KafkaConsumer, KafkaMessage
from realtime.kafka.offset_tracker import OffsetGap, OffsetTracker
from realtime.tests.builders import transaction
from realtime.tests.ingest_helpers import send

A, B = ("topic", 0), ("topic", 1)


def messages(places: Iterable[tuple[int, int]]) -> list[KafkaMessage]:
    return [KafkaMessage("topic", partition, offset, None, b"", 0) for partition, offset in places]


def test_loss_noticed_twice_is_reported_once() -> None:
    due = OffsetTracker(lambda _partition: 2_500)
    due.reset({A: 500}, {A: 2_000})
    due.reset({A: 500}, {A: 2_500})
    assert due.gaps == [OffsetGap(*A, 500, 2_499)]


def test_unanswered_query_leaves_only_its_gap_open() -> None:
    answers: dict[tuple[str, int], int | None] = {A: None, B: 0}
    due = OffsetTracker(answers.get)
    due.reset({A: 5, B: 5}, {A: 0, B: 0})
    due.advance(messages([(1, 5), (0, 9), (1, 6)]))
    answers |= {A: 9, B: 7}
    due.advance(messages([(0, 10), (1, 7)]))
    assert due.gaps == [OffsetGap(*A, 5, 8)]


class Disturbed:
    """A client of which some calls come to something else."""

    def __init__(self, client: Any, **others: Any) -> None:
        self._client = client
        self._others = others

    def __getattr__(self, name: str) -> Any:
        return self._others.get(name) or getattr(self._client, name)


def read_one(consumer: KafkaConsumer) -> list[KafkaMessage]:
    return wait_until(lambda: consumer.read(1, 0.2), "a message", 30)


def test_nothing_is_read_before_group_offsets_are_known(mock_kafka: MockKafka) -> None:
    """Otherwise a loss would look like the start of the partition."""
    one = transaction()
    send([one])
    first = KafkaConsumer()
    first.commit(read_one(first))
    wait_until(lambda: first.read(1, 0.1) or first.committed_at, "the commit", 10)
    first.close()
    # The broker keeps 5 MB of a partition.
    send(one._replace(value=os.urandom(900_000)) for _ in range(10))

    second, refusals = KafkaConsumer(), [confluent_kafka.KafkaError(30), confluent_kafka.KafkaError(30)]
    client: Any = second._consumer

    def committed(places: Any, timeout: float) -> Any:
        if refusals:
            raise confluent_kafka.KafkaException(refusals.pop())
        return client.committed(places, timeout)

    second._consumer = Disturbed(client, committed=committed)  # type: ignore[assignment]
    (read,) = read_one(second)
    assert not refusals
    assert read.offset > 1
    assert second.gaps == [OffsetGap(one.topic, read.partition, 1, read.offset - 1)]
    second.close()


def test_offset_of_foreign_partition_is_not_committed(mock_kafka: MockKafka) -> None:
    send([transaction()])
    consumer = KafkaConsumer()
    batch = read_one(consumer)
    client: Any = consumer._consumer
    consumer._consumer = Disturbed(client, assignment=list)  # type: ignore[assignment]
    consumer.commit(batch)
    consumer.skip_gaps([OffsetGap(batch[0].topic, batch[0].partition, 0, 0)])
    place = confluent_kafka.TopicPartition(batch[0].topic, batch[0].partition)
    assert client.committed([place], 5)[0].offset < 0
    consumer._consumer = client
    consumer.commit(batch)
    wait_until(lambda: client.committed([place], 5)[0].offset == 1, "the commit", 10)
    consumer.close()
