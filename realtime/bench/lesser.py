"""References: members of the group that do less than `manage.py consume`, each in a process of its own.

copy    only decodes, checks and copies into the same table (plaincopy.py), with ids of its own
silent  stores as `consume` does, and tells nobody
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from django.conf import settings
from django.db import connection, transaction

from realtime.bench import plaincopy
from realtime.decoding import decode_batch
from realtime.ingest import Ingest
from realtime.kafka import Consumer
from realtime.status import serve_status

# How far the copying is: a row for each batch, in its transaction.
PROGRESS = "bench_progress"
# For each member.
IDS = 10**8


def silent(port: int, _number: int) -> None:
    with _member(port) as (consumer, stop):
        Ingest(consumer, lambda _stored: None, stop).run(settings.KAFKA_BATCH)


def copy(port: int, number: int) -> None:
    with _member(port) as (consumer, stop), connection.cursor() as cursor:
        last = plaincopy.last_id(cursor) + number * IDS
        while not stop.is_set():
            messages = consumer.read(settings.KAFKA_BATCH, wait=0.2)
            if not messages:
                continue
            rows = list(decode_batch(messages, datetime.now(UTC)).rows[plaincopy.CHANNEL].values())
            with transaction.atomic():
                cursor.copy_expert(plaincopy.statement(), plaincopy.text(rows, last + 1))
                cursor.execute(f"INSERT INTO {PROGRESS} VALUES (%s)", [len(rows)])
            last += len(rows)
            consumer.commit(messages)


@contextmanager
def _member(port: int) -> Iterator[tuple[Consumer, threading.Event]]:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    consumer = Consumer()
    with serve_status(port, lambda: {"assigned": [f"{topic}[{part}]" for topic, part in consumer.lag()]}):
        yield consumer, stop
    consumer.close()
