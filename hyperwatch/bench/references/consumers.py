"""Group members that do less than `manage.py consume`, each in its own process.

copy    the same consumer: decodes, checks and copies into the same table (plain_copy.py), with its own ids
silent  stores like `consume`, without publishing
"""

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from django.conf import settings
from django.db import connection, transaction

from hyperwatch.bench.references import plain_copy
from realtime.ingest.decoder import DecodedBatch
from realtime.ingest.offset_store import OffsetStore
from realtime.ingest.pipeline import Pipeline
from realtime.ingest.status_server import serve_status
from realtime.ingest.writer import BatchWriter
from realtime.kafka.consumer import KafkaConsumer
from realtime.kafka.offset_tracker import Partition
from realtime.storage import consumer_offsets
from realtime.storage.records import StoredRows

# Progress of the copy: one row for each batch, in the same transaction.
PROGRESS_TABLE = "bench_progress"
IDS_PER_MEMBER = 10**8


def silent(_number: int) -> None:
    _run(BatchWriter())


def copy(number: int) -> None:
    _run(PlainCopy(number))


class PlainCopy(BatchWriter):
    """Writer of member `number`. Assigns ids when it encodes: a failed batch ends the measurement."""

    def __init__(self, number: int) -> None:
        super().__init__()
        with connection.cursor() as cursor:
            self._last = plain_copy.last_id(cursor) + number * IDS_PER_MEMBER

    def copy_texts(self, batch: DecodedBatch) -> dict[str, str]:
        rows = list(batch.rows[plain_copy.CHANNEL].values())
        first, self._last = self._last + 1, self._last + len(rows)
        return {plain_copy.CHANNEL: plain_copy.text(rows, first)}

    def write(
        self,
        batch: DecodedBatch,
        texts: Mapping[str, str] | None = None,
        next_offsets: Mapping[Partition, int] | None = None,
    ) -> list[StoredRows]:
        text = (texts or self.copy_texts(batch))[plain_copy.CHANNEL]
        with transaction.atomic(), connection.cursor() as cursor:
            plain_copy.copy(cursor, text)
            cursor.execute(f"INSERT INTO {PROGRESS_TABLE} VALUES (%s)", [len(batch.rows[plain_copy.CHANNEL])])
            # The next measurement reads the same topics.
            consumer_offsets.advance(next_offsets or {})
        return []


def _run(store: BatchWriter) -> None:
    with _consumer() as (consumer, stop):
        Pipeline(consumer, lambda _rows: None, stop, writer=store).run(settings.KAFKA_MAX_BATCH_MESSAGES)


@contextmanager
def _consumer() -> Iterator[tuple[KafkaConsumer, threading.Event]]:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    consumer = KafkaConsumer(OffsetStore())
    with serve_status(
        settings.CONSUMER_STATUS_PORT, lambda: {"assigned": [f"{topic}[{part}]" for topic, part in consumer.lag()]}
    ):
        yield consumer, stop
    consumer.close()
