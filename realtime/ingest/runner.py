"""Runs a consumer group member and reports its status."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import connection

from hyperwatch.concurrency.backoff import Backoff
from hyperwatch.db.errors import DATABASE_UNAVAILABLE, normalize_db_errors
from hyperwatch.formats import isoformat
from realtime.delivery.publisher import Publisher
from realtime.ingest.offset_store import DatabaseWentBack, OffsetStore
from realtime.ingest.pipeline import RETRY_PAUSES_SECONDS, Pipeline
from realtime.ingest.writer import BatchWriter
from realtime.kafka.admin import KafkaUnavailable, existing_topics, topics
from realtime.kafka.consumer import KafkaConsumer
from realtime.storage.sequences import rotate_epoch

log = logging.getLogger(__name__)

# Python handles no signal during the request.
TOPIC_REQUEST_TIMEOUT_SECONDS = 1.0


class ConsumerRunner:
    """Wires consumer, pipeline and publisher; `status` is thread-safe."""

    def __init__(
        self,
        stop: threading.Event,
        loop: asyncio.AbstractEventLoop | None = None,
        heartbeat: Callable[[], None] = lambda: None,
    ) -> None:
        self._stop = stop
        self._loop = loop
        self._heartbeat = heartbeat
        self._consumer: KafkaConsumer | None = None

    def run(self) -> None:
        """Runs until `stop` is set. Raises errors without a policy: the supervisor must restart the process."""
        if not self._wait_for_topics():
            return
        publisher = Publisher(self._loop)
        log.info("consuming %s as group %s", ", ".join(topic.name for topic in topics()), settings.KAFKA_GROUP_ID)
        while not self._stop.is_set():
            try:
                self._consume(publisher)
            except DatabaseWentBack as error:
                log.error("%s; new epoch, its messages are read again", error)
                self._rotate_epoch(error.epoch)

    def _consume(self, publisher: Publisher) -> None:
        offsets = OffsetStore()
        consumer = self._consumer = KafkaConsumer(offsets)
        writer = BatchWriter(offsets)
        try:
            Pipeline(consumer, publisher, self._stop, heartbeat=self._heartbeat, writer=writer).run(
                settings.KAFKA_MAX_BATCH_MESSAGES
            )
        finally:
            consumer.close()
            connection.close()

    def _rotate_epoch(self, expected: str) -> None:
        """Waits without limit for the database."""
        backoff = Backoff(RETRY_PAUSES_SECONDS)
        while not self._stop.wait(backoff.next()):
            try:
                with normalize_db_errors():
                    rotate_epoch(expected)
                return
            except DATABASE_UNAVAILABLE as error:
                log.warning("the database is unavailable (%s)", str(error).strip())
                connection.close()

    def status(self) -> dict[str, Any]:
        """Assigned partitions, number of unread messages, time of the last offset commit."""
        lag = self._consumer.lag() if self._consumer else {}
        committed_at = self._consumer.committed_at if self._consumer else None
        return {
            "status": "healthy" if self._consumer else "waiting for Kafka",
            "assigned": sorted(f"{topic}[{partition}]" for topic, partition in lag),
            "lag": sum(lag.values()),
            "last_commit": isoformat(committed_at) if committed_at else None,
        }

    def _wait_for_topics(self) -> bool:
        """Waits without limit for Kafka and the topics; False if `stop` is set first."""
        backoff = Backoff(RETRY_PAUSES_SECONDS)
        while True:
            try:
                missing = {topic.name for topic in topics()} - existing_topics(TOPIC_REQUEST_TIMEOUT_SECONDS)
                if not missing:
                    return True
                problem = f"Kafka has no topic {', '.join(sorted(missing))}; run `manage.py init_db` to create it"
            except KafkaUnavailable as error:
                problem = f"Kafka is unavailable ({error})"
            pause = backoff.next()
            log.warning("%s; next attempt in %s s", problem, pause)
            if self._stop.wait(pause):
                return False


def run_consumer(stop: threading.Event, loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Consumes until `stop` is set; publishes on `loop`, or on its own event loop."""
    ConsumerRunner(stop, loop).run()
