"""References: members of the group that do less than `manage.py consume`, each in a process of its own.

copy    the same consumer, which only decodes, checks and copies into the same table (plaincopy.py), with ids of its own
silent  stores as `consume` does, and tells nobody
"""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.conf import settings
from django.db import connection, transaction

from hyperwatch.bench.references import plain_copy
from realtime.ingest.decoder import DecodedBatch
from realtime.ingest.pipeline import Pipeline
from realtime.ingest.status_server import serve_status
from realtime.ingest.writer import BatchWriter
from realtime.kafka.consumer import KafkaConsumer
from realtime.storage.records import StoredRows

# How far the copying is: a row for each batch, in its transaction.
PROGRESS = "bench_progress"
# For each member.
IDS = 10**8


def silent(_number: int) -> None:
    _run(BatchWriter())


def copy(number: int) -> None:
    _run(PlainCopy(number))


class PlainCopy(BatchWriter):
    """Of member `number`. The ids are given where the texts are made: a batch that fails ends the measurement."""

    def __init__(self, number: int) -> None:
        super().__init__()
        with connection.cursor() as cursor:
            self._last = plain_copy.last_id(cursor) + number * IDS

    def texts(self, batch: DecodedBatch) -> dict[str, str]:
        rows = list(batch.rows[plain_copy.CHANNEL].values())
        first, self._last = self._last + 1, self._last + len(rows)
        return {plain_copy.CHANNEL: plain_copy.text(rows, first)}

    def store(self, batch: DecodedBatch, texts: Mapping[str, str] | None = None) -> list[StoredRows]:
        text = (texts or self.texts(batch))[plain_copy.CHANNEL]
        with transaction.atomic(), connection.cursor() as cursor:
            plain_copy.copy(cursor, text)
            cursor.execute(f"INSERT INTO {PROGRESS} VALUES (%s)", [len(batch.rows[plain_copy.CHANNEL])])
        return []


def _run(store: BatchWriter) -> None:
    with _member() as (consumer, stop):
        Pipeline(consumer, lambda _stored: None, stop, writer=store).run(settings.KAFKA_MAX_BATCH_MESSAGES)


@contextmanager
def _member() -> Iterator[tuple[KafkaConsumer, threading.Event]]:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    consumer = KafkaConsumer()
    with serve_status(
        settings.CONSUMER_STATUS_PORT, lambda: {"assigned": [f"{topic}[{part}]" for topic, part in consumer.lag()]}
    ):
        yield consumer, stop
    consumer.close()
