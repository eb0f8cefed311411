"""The consumer within a test, on a thread of its own: for what needs a clock or a publisher of the test's choice."""

import json
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import connection

from hyperwatch.harness.app_process import AppProcess
from realtime.ingest.pipeline import Pipeline
from realtime.kafka.consumer import KafkaConsumer, KafkaMessage
from realtime.kafka.producer import KafkaProducer
from realtime.storage.records import StoredRows
from realtime.tests.builders import NOW


class PublishedEvents:
    """The published events by stream."""

    def __init__(self) -> None:
        self.seqs: dict[str, list[int]] = {}

    def __call__(self, stored: Sequence[StoredRows]) -> None:
        for new in stored:
            self.seqs.setdefault(new.stream.name, []).extend(row.seq for row in new.rows)


def send(messages: Iterable[KafkaMessage]) -> None:
    """Sends messages to their topics, in order within a key."""
    producer = KafkaProducer()
    for message in messages:
        producer.send(message.topic, message.key, message.value)
    assert producer.flush() == 0
    assert producer.failures == []


@contextmanager
def ingesting(
    publish: Callable[[Sequence[StoredRows]], None], now: Callable[[], datetime] = lambda: NOW, batch_size: int = 100
) -> Iterator[threading.Thread]:
    """Consumes meanwhile; what ended the consumer early is raised at the end."""
    stop, errors = threading.Event(), list[Exception]()

    def run() -> None:
        consumer = KafkaConsumer()
        try:
            Pipeline(consumer, publish, stop, now).run(batch_size)
        except Exception as error:  # noqa: BLE001 (raised in the test's own thread)
            errors.append(error)
        finally:
            consumer.close()
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join()
    if errors:
        raise errors[0]


@contextmanager
def refusing_coin(coin: str) -> Iterator[None]:
    """The database takes no transaction in that coin: decoding knows nothing of it."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE transactions ADD CONSTRAINT for_a_test CHECK (coin <> '{coin}')")
        try:
            yield
        finally:
            cursor.execute("ALTER TABLE transactions DROP CONSTRAINT for_a_test")


def health(consumer: AppProcess) -> dict[str, Any]:
    """What a consumer's process says of itself."""
    with urllib.request.urlopen(f"{consumer.url}/health", timeout=5) as answer:  # noqa: S310 (http, ours)
        said: dict[str, Any] = json.load(answer)
    return said
