"""The order store, publish, commit; and the policy of each kind of failure."""

import threading
import time
from collections.abc import Sequence
from datetime import datetime

import psycopg2
import pytest
from django.db import DatabaseError, OperationalError, connection

from hyperwatch.harness.kafka import MockKafka
from hyperwatch.tests.services.waiting import wait_until
from realtime.ingest import data_loss
from realtime.ingest.decoder import DecodedBatch, decode_batch
from realtime.ingest.pipeline import Pipeline
from realtime.ingest.writer import BatchRejected, BatchWriter
from realtime.kafka import consumer as kafka
from realtime.kafka.consumer import KafkaConsumer, KafkaMessage
from realtime.kafka.offset_tracker import MessagePosition, OffsetGap, OffsetTracker
from realtime.models import DeadLetter, LostMessages
from realtime.storage.records import StoredRows
from realtime.tests.builders import transaction
from realtime.tests.ingest_helpers import PublishedEvents, ingesting, send
from transactions.models import Transaction

pytestmark = pytest.mark.django_db(transaction=True)


def rows_for_a_stranger() -> int:
    with psycopg2.connect(**connection.get_connection_params()) as anonymous, anonymous.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM transactions")
        (count,) = cursor.fetchone() or (0,)
    anonymous.close()
    return int(count)


def test_published_events_are_already_readable(mock_kafka: MockKafka) -> None:
    seen = []

    def publish(stored: Sequence[StoredRows]) -> None:
        seen.append((stored[0].rows[-1].seq, rows_for_a_stranger()))

    send(transaction(raw_data={"tid": tid}) for tid in range(30))
    with ingesting(publish, batch_size=10):
        wait_until(lambda: seen and seen[-1][0] == 30, "all to be told", 30)
    assert all(returned <= visible for returned, visible in seen)


def test_unexpected_error_stops_consumer_and_batch_returns(
    mock_kafka: MockKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: Sequence[StoredRows]) -> None:
        raise ZeroDivisionError

    again = PublishedEvents()
    send(transaction(raw_data={"tid": tid}) for tid in range(5))
    with pytest.raises(ZeroDivisionError), ingesting(failing) as thread:
        wait_until(lambda: not thread.is_alive(), "the end of the consumer", 30)
    assert Transaction.objects.count() == 5
    send([transaction(raw_data={"tid": 5})])
    read = list[KafkaMessage]()

    def reading(batch: Sequence[KafkaMessage], now: datetime) -> DecodedBatch:
        read.extend(batch)
        return decode_batch(batch, now)

    monkeypatch.setattr("realtime.ingest.pipeline.decode_batch", reading)
    with ingesting(again):
        wait_until(lambda: Transaction.objects.count() == 6, "the next message", 30)
    assert len(read) == 6
    assert again.seqs == {"transactions": [6]}


class Standing(KafkaConsumer):
    """A consumer that receives given messages and records its commits."""

    def __init__(self) -> None:
        self.committed: list[MessagePosition] = []
        self.stayed = 0
        self.reads = 0
        self._offsets = OffsetTracker(lambda _partition: None)

    def commit(self, messages: Sequence[MessagePosition]) -> None:
        self.committed += messages

    def poll_paused(self) -> None:
        self.stayed += 1

    def read(self, limit: int, timeout: float) -> list[KafkaMessage]:
        self.reads += 1
        return [transaction(raw_data={"tid": tid}) for tid in range(4)]


class Holed(Standing):
    """Kafka removed the offsets from 11 to 19 while the group was at 9."""

    def __init__(self) -> None:
        super().__init__()
        self._left = [transaction(raw_data={"tid": offset})._replace(offset=offset) for offset in (9, 10, 20)]
        self._offsets = OffsetTracker(lambda _partition: 20)
        self.done = list[str]()

    def read(self, limit: int, timeout: float) -> list[KafkaMessage]:
        messages, self._left = self._left, []
        self._offsets.advance(messages)
        return messages

    def skip_gaps(self, lost: Sequence[OffsetGap]) -> None:
        self.done += [f"passed over {one.first} to {one.last}" for one in lost]
        self.gaps.clear()

    def commit(self, messages: Sequence[MessagePosition]) -> None:
        self.done.append(f"committed {messages[-1].offset}")


def test_gap_is_skipped_after_storing_and_reporting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop, consumer, keep = threading.Event(), Holed(), data_loss._insert

    def store(_self: BatchWriter, _batch: DecodedBatch, *_rest: object) -> list[StoredRows]:
        consumer.done.append("stored")
        return []

    def keep_at_last(lost: Sequence[OffsetGap]) -> None:
        consumer.done.append("tried to tell")
        if consumer.done.count("tried to tell") == 1:
            # The error that psycopg2 raises after a crash of the server.
            raise DatabaseError("server closed the connection unexpectedly")
        keep(lost)
        stop.set()

    monkeypatch.setattr(BatchWriter, "write", store)
    monkeypatch.setattr(data_loss, "_insert", keep_at_last)
    Pipeline(consumer, lambda _: None, stop).run(4)
    returned = ["tried to tell", "passed over 11 to 19"]
    assert consumer.done == ["stored", "tried to tell", "committed 20", *returned]
    assert [(lost.first, lost.last) for lost in LostMessages.objects.all()] == [(11, 19)]


def test_only_one_batch_is_stored_during_publishing(monkeypatch: pytest.MonkeyPatch) -> None:
    stop, consumer, stored, seen = threading.Event(), Standing(), list[DecodedBatch](), list[int]()

    def store(_self: BatchWriter, batch: DecodedBatch, *_rest: object) -> list[StoredRows]:
        stored.append(batch)
        return []

    def publish(_: Sequence[StoredRows]) -> None:
        if not stop.is_set():
            # It has read a third one, and waits.
            wait_until(lambda: consumer.stayed, "the consumer to wait", 30)
            seen.append(len(stored))
            stop.set()

    monkeypatch.setattr(BatchWriter, "write", store)
    Pipeline(consumer, publish, stop).run(4)
    assert (seen, consumer.reads) == ([2], 3)
    assert len(consumer.committed) == 4 * len(stored)


def test_nothing_is_stored_behind_a_batch_that_was_not(monkeypatch: pytest.MonkeyPatch) -> None:
    consumer, offered = Standing(), list[DecodedBatch]()

    def store(_self: BatchWriter, batch: DecodedBatch, *_rest: object) -> list[StoredRows]:
        offered.append(batch)
        wait_until(lambda: consumer.reads == 3, "the next batch to be waiting", 30)
        raise ZeroDivisionError

    monkeypatch.setattr(BatchWriter, "write", store)
    with pytest.raises(ZeroDivisionError):
        Pipeline(consumer, lambda _: None, threading.Event()).run(4)
    assert (len(offered), consumer.committed) == (1, [])


def test_failing_consumer_stops_while_next_batch_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop, consumer, offered, errors = threading.Event(), Standing(), list[DecodedBatch](), list[Exception]()

    def store(_self: BatchWriter, batch: DecodedBatch, *_rest: object) -> list[StoredRows]:
        offered.append(batch)
        if len(offered) > 1:
            raise OperationalError("away")
        return []

    def publish(_: Sequence[StoredRows]) -> None:
        wait_until(lambda: len(offered) > 1, "the next batch", 30)
        raise ZeroDivisionError

    def run() -> None:
        try:
            Pipeline(consumer, publish, stop).run(4)
        except ZeroDivisionError as error:
            errors.append(error)

    monkeypatch.setattr(BatchWriter, "write", store)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    has_ended = not thread.is_alive()
    stop.set()
    thread.join()
    assert (has_ended, len(errors), consumer.committed) == (True, 1, [])


@pytest.mark.parametrize("refusals", [1, 3])
def test_stop_during_bisection_commits_only_stored_offsets(monkeypatch: pytest.MonkeyPatch, refusals: int) -> None:
    """With three refusals what waits is the letter of a single message."""
    stop, consumer, calls = threading.Event(), Standing(), []

    def store(_self: BatchWriter, batch: DecodedBatch, *_rest: object) -> list[StoredRows]:
        calls.append(batch)
        if len(calls) <= refusals:
            raise BatchRejected("for a test")
        if len(calls) == refusals + 1:
            stop.set()
            raise OperationalError("away")
        return []

    monkeypatch.setattr(BatchWriter, "write", store)
    Pipeline(consumer, lambda _: None, stop).run(4)
    assert consumer.committed == []
    assert len(calls) == refusals + 1


def test_the_membership_is_kept_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    stop, consumer, calls = threading.Event(), Standing(), []

    def store(_self: BatchWriter, batch: DecodedBatch, *_rest: object) -> list[StoredRows]:
        calls.append(batch)
        if len(calls) < 5:
            raise OperationalError("away")
        stop.set()
        return []

    monkeypatch.setattr(BatchWriter, "write", store)
    Pipeline(consumer, lambda _: None, stop).run(4)
    assert consumer.stayed
    # Messages read meanwhile are stored too.
    assert len(consumer.committed) == 12
    assert not DeadLetter.objects.exists()


def test_commit_is_asynchronous_and_reported_when_done(mock_kafka: MockKafka) -> None:
    send([transaction()])
    consumer = KafkaConsumer()
    batch = wait_until(lambda: consumer.read(10, 0.2), "the message", 10)
    mock_kafka.disconnect()
    began = time.monotonic()
    consumer.commit(batch)
    assert time.monotonic() - began < 10
    assert consumer.committed_at is None
    mock_kafka.reconnect()
    wait_until(lambda: consumer.read(10, 0.2) or consumer.committed_at, "the answer", 15)
    consumer.close()


def test_batch_of_large_messages_is_limited_by_bytes(mock_kafka: MockKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "MAX_BATCH_BYTES", 100_000)
    monkeypatch.setattr(kafka, "CONSUME_MESSAGES", 10)
    send([transaction(raw_data={"tid": tid, "text": "x" * 9_000}) for tid in range(60)])
    consumer = KafkaConsumer()
    batches: list[int] = []

    def has_all() -> bool:
        batches.append(len(consumer.read(1_000, 0.2)))
        return sum(batches) == 60

    wait_until(has_all, "all messages", 20)
    assert max(batches) <= 21
