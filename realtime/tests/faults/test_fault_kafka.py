"""Kafka dead, frozen, answering errors, and retention of unread messages."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from zlib import crc32

import pytest
from confluent_kafka import OFFSET_END, TopicPartition
from confluent_kafka.admin import AdminClient
from django.conf import settings
from django.test import override_settings

from hyperwatch.harness.kafka import KafkaBroker, MockKafka
from hyperwatch.harness.postgres import Database
from hyperwatch.tests.services.fixtures import Folders
from hyperwatch.tests.services.waiting import wait_until
from realtime.kafka.admin import topics
from realtime.kafka.consumer import KafkaConsumer, KafkaMessage
from realtime.kafka.offset_tracker import OffsetGap, OffsetTracker
from realtime.models import DeadLetter
from realtime.tests.builders import message, transaction
from realtime.tests.cluster import Cluster, apache, running_cluster
from realtime.tests.ingest_helpers import PublishedEvents, ingesting, send
from realtime.tests.websocket_client import metric
from transactions.models import Transaction

# Requests, and what a broker in trouble answers to them.
PRODUCE, FETCH, OFFSET_COMMIT, OFFSET_FETCH = 0, 1, 8, 9
FIND_COORDINATOR, JOIN_GROUP, HEARTBEAT, SYNC_GROUP = 10, 11, 12, 14
NOT_LEADER, TIMED_OUT, LOADING, NOT_COORDINATOR, UNKNOWN_MEMBER, REBALANCING, FORBIDDEN = 6, 7, 14, 16, 25, 27, 29

# A message's partition and offset.
Place = tuple[int, int]


@pytest.fixture(scope="module")
def cluster(_migrated: Database, _kafka: KafkaBroker, tmp_path_factory: Folders) -> Iterator[Cluster]:
    with running_cluster(_migrated, apache(_kafka), tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


def forget_all() -> None:
    """As retention does: each partition begins behind its last message."""
    places = [TopicPartition(topic.name, n, OFFSET_END) for topic in topics() for n in range(topic.partitions)]
    admin = AdminClient({"bootstrap.servers": settings.KAFKA_BOOTSTRAP_SERVERS})
    for done in admin.delete_records(places).values():
        done.result(10)


@pytest.mark.kafka
def test_dead_or_frozen_kafka_is_reported_and_recovers(cluster: Cluster, _kafka: KafkaBroker) -> None:
    consumer = cluster.working()
    cluster.send(50)
    cluster.check()
    assert cluster.ready("kafka") == (200, "ok", "ok")

    _kafka.kill()
    check_away(cluster)
    _kafka.ensure_running()
    cluster.send(50)
    cluster.check()
    wait_until(lambda: cluster.ready("kafka") == (200, "ok", "ok"), "readiness", 20)

    _kafka.pause()
    check_away(cluster)
    _kafka.resume()
    cluster.send(50)
    cluster.check()
    cluster.check_counts_as_read()
    cluster.check_silent()
    wait_until(lambda: cluster.ready("kafka") == (200, "ok", "ok"), "readiness", 20)
    assert consumer.is_running
    consumer.stop()


def check_away(cluster: Cluster) -> None:
    assert cluster.ready("kafka") == (200, "degraded", "down")
    assert cluster.get("/health/ready?strict=1")[0] == 503
    cluster.check_reads()
    cluster.check_socket()


@pytest.mark.kafka
def test_retention_loss_is_reported_by_partition(cluster: Cluster) -> None:
    """In the log, the metric and readiness; the rest is stored, and a second consumer reports nothing."""
    first = cluster.working()
    cluster.send(30)
    cluster.check()
    cluster.check_counts_as_read()
    first.stop()

    with override_settings(**cluster.kafka):
        one = transaction()
        send([one] * 7)
        forget_all()
        place = f"{one.topic}[{partition_of(one)}]"
    second = cluster.working()
    wait_until(lambda: "7 messages before they were read" in second.output(), "the log line")
    wait_until(lambda: cluster.committed() == cluster.sent + 7, "what is lost to be passed over")
    assert metric(second, "hyperwatch_kafka_lost_messages_total") == 7
    status, answer = cluster.get("/health/ready")
    kafka = answer["checks"]["kafka"]
    assert (status, answer["status"], kafka["status"], kafka["lost"]) == (200, "degraded", "degraded", {place: 7})
    second.stop()

    third = cluster.working()
    cluster.send(5)
    cluster.check()
    assert metric(third, "hyperwatch_kafka_lost_messages_total") == 0
    assert cluster.get("/health/ready")[1]["checks"]["kafka"]["lost"] == {place: 7}
    third.stop()


@pytest.mark.kafka
def test_retention_loss_during_database_wait_is_reported(apache_kafka: KafkaBroker) -> None:
    consumer, read, one = KafkaConsumer(), list[KafkaMessage](), transaction()

    def has(count: int) -> bool:
        read.extend(consumer.read(100, 0.2))
        return len(read) == count

    send([one] * 5)
    wait_until(lambda: has(5), "the first messages", 20)
    consumer.poll_paused()
    send([one] * 7)
    forget_all()
    send([one] * 3)
    wait_until(lambda: has(8), "the last messages", 20)
    assert [message.offset for message in read] == [0, 1, 2, 3, 4, 12, 13, 14]
    assert consumer.gaps == [OffsetGap(one.topic, partition_of(one), 5, 11)]
    consumer.close()


def test_gap_not_made_by_retention_is_no_loss() -> None:
    """A transaction's markers have offsets, too."""
    due = OffsetTracker(lambda _partition: 0)
    due.reset({("transactions", 0): 5}, {("transactions", 0): 0})
    due.advance(message("transactions", b"{}")._replace(offset=offset) for offset in (5, 6, 8, 9))
    assert due.gaps == []


@pytest.mark.django_db(transaction=True)
def test_broker_errors_lose_and_repeat_nothing(mock_kafka: MockKafka) -> None:
    answer = PublishedEvents()
    mock_kafka.fail(FIND_COORDINATOR, NOT_COORDINATOR, LOADING)
    mock_kafka.fail(JOIN_GROUP, LOADING, NOT_COORDINATOR)
    mock_kafka.fail(SYNC_GROUP, REBALANCING)
    mock_kafka.fail(OFFSET_FETCH, LOADING)
    mock_kafka.fail(PRODUCE, NOT_LEADER, TIMED_OUT)
    send(transaction(raw_data={"tid": tid}) for tid in range(50))
    with ingesting(answer, batch_size=10):
        wait_until(lambda: Transaction.objects.count() == 50, "the first", 30)
        mock_kafka.fail(FETCH, FORBIDDEN, NOT_LEADER, TIMED_OUT)
        mock_kafka.fail(OFFSET_COMMIT, NOT_COORDINATOR, REBALANCING, TIMED_OUT)
        mock_kafka.fail(HEARTBEAT, UNKNOWN_MEMBER)
        send(transaction(raw_data={"tid": tid}) for tid in range(50, 100))
        wait_until(lambda: Transaction.objects.count() == 100, "the others", 30)
    assert answer.seqs == {"transactions": list(range(1, 101))}
    assert not DeadLetter.objects.exists()


def test_partition_paused_during_rebalance_is_read_again(mock_kafka: MockKafka) -> None:
    first = KafkaConsumer()
    wait_until(lambda: read(first) == [] and len(first.lag()) == 15, "every partition", 20)
    first.poll_paused()
    with another_reading() as read_by_the_other:

        def is_taken() -> bool:
            first.poll_paused()
            return not first._consumer.assignment()

        wait_until(is_taken, "the rebalance", 20)
        send(transaction(raw_data={"tid": tid})._replace(key=str(tid).encode()) for tid in range(100))
        read_by_first = set[Place]()

        def is_all_read() -> bool:
            read_by_first.update(read(first))
            return len(read_by_first | read_by_the_other) == 100

        wait_until(is_all_read, "all to be read by the two", 20)
    first.close()


def read(consumer: KafkaConsumer) -> list[Place]:
    return [(message.partition, message.offset) for message in consumer.read(100, 0.1)]


@contextmanager
def another_reading() -> Iterator[set[Place]]:
    """What another member of the group reads meanwhile."""
    stop, found = threading.Event(), set[Place]()

    def run() -> None:
        consumer = KafkaConsumer()
        while not stop.is_set():
            found.update(read(consumer))
        consumer.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()


def partition_of(one: KafkaMessage) -> int:
    """Where librdkafka puts messages of that key."""
    return crc32(one.key or b"") % topics()[0].partitions
