"""Runs a member of the consumer group, and tells how it stands."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import connection

from hyperwatch.concurrency.backoff import Backoff
from hyperwatch.formats import isoformat
from realtime.delivery.publisher import Publisher
from realtime.ingest.pipeline import RETRY_PAUSES_SECONDS, Pipeline
from realtime.kafka.admin import KafkaUnavailable, existing_topics, topics
from realtime.kafka.consumer import KafkaConsumer

log = logging.getLogger(__name__)

# No signal is seen during a look for Kafka.
LOOK = 1.0


class ConsumerRunner:
    """A consumer from start to stop; `status` may be asked from another thread."""

    def __init__(
        self,
        stop: threading.Event,
        loop: asyncio.AbstractEventLoop | None = None,
        goes_on: Callable[[], None] = lambda: None,
    ) -> None:
        self._stop = stop
        self._loop = loop
        self._goes_on = goes_on
        self._consumer: KafkaConsumer | None = None

    def run(self) -> None:
        """Works until the stop. Raises what no policy covers: a supervisor is to start it anew."""
        if not self._topics_are_there():
            return
        self._consumer = KafkaConsumer()
        ingest = Pipeline(self._consumer, Publisher(self._loop), self._stop, goes_on=self._goes_on)
        log.info("consuming %s as group %s", ", ".join(t.name for t in topics()), settings.KAFKA_GROUP_ID)
        try:
            ingest.run(settings.KAFKA_MAX_BATCH_MESSAGES)
        finally:
            self._consumer.close()
            connection.close()

    def status(self) -> dict[str, Any]:
        """Assigned partitions, messages not yet read, and when offsets were last committed."""
        lag = self._consumer.lag() if self._consumer else {}
        at = self._consumer.committed_at if self._consumer else None
        return {
            "status": "healthy" if self._consumer else "waiting for Kafka",
            "assigned": sorted(f"{topic}[{partition}]" for topic, partition in lag),
            "lag": sum(lag.values()),
            "last_commit": isoformat(at) if at else None,
        }

    def _topics_are_there(self) -> bool:
        """Waits for Kafka and the topics, however long; False where the stop comes first."""
        backoff = Backoff(RETRY_PAUSES_SECONDS)
        while True:
            try:
                missing = {topic.name for topic in topics()} - existing_topics(LOOK)
                if not missing:
                    return True
                trouble = f"Kafka has no topic {', '.join(sorted(missing))}; `manage.py init_db` creates it"
            except KafkaUnavailable as away:
                trouble = f"Kafka is away ({away})"
            pause = backoff.next()
            log.warning("%s; next look in %s s", trouble, pause)
            if self._stop.wait(pause):
                return False


def run_consumer(stop: threading.Event, loop: asyncio.AbstractEventLoop | None = None) -> None:
    """Consumes until `stop` is set; publishes on `loop`, or on one of its own."""
    ConsumerRunner(stop, loop).run()
