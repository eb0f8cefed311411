"""The ingest pipeline, in this order: read, decode, store and commit, publish, commit the offsets.

Stages overlap: while a batch is stored, the next is read and decoded, and the previous one is published.

Rows are stored with the offsets after them, before they are published. So stored data repairs a crash at any step: the
next member continues after the stored rows, and a hub that missed events backfills up to the heads. Offsets committed
to Kafka are for monitoring.
"""

import logging
import threading
import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import UTC, datetime
from typing import NamedTuple

from django.db import DatabaseError, InterfaceError, connection, connections

from hyperwatch import metrics
from hyperwatch.concurrency.backoff import Backoff
from hyperwatch.db.errors import is_unavailable
from realtime.ingest.data_loss import record_gaps
from realtime.ingest.decoder import DecodedBatch, RejectedMessage, decode_batch
from realtime.ingest.failpoints import failpoint
from realtime.ingest.writer import BatchRejected, BatchWriter
from realtime.kafka.consumer import KafkaConsumer, KafkaMessage
from realtime.kafka.offset_tracker import OffsetGap, next_offsets
from realtime.models import Reason
from realtime.storage.records import StoredRows
from realtime.storage.retention import PRUNE_MARGIN

log = logging.getLogger(__name__)

RETRY_PAUSES_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
# Interval of the polls that keep the group membership while a batch is stored. Pausing for a poll discards the messages
# that the client has prefetched, so shorter batches do without.
POLL_WHILE_STORING_SECONDS = 1.0

# Retention may have pruned rows of a batch that waited this long for the database: validate their age again.
REVALIDATE_AFTER = PRUNE_MARGIN / 2


class PipelineStopped(Exception):
    """The pipeline stopped before the batch was stored; its offsets are not committed, so it is read again."""


class BatchResult(NamedTuple):
    """The new rows and the rejected messages of a batch."""

    stored: Sequence[StoredRows]
    rejected: Sequence[RejectedMessage]


class InFlightBatch(NamedTuple):
    """A batch that is being stored and published, with the offset gaps that were detected when it was read."""

    messages: Sequence[KafkaMessage]
    gaps: Sequence[OffsetGap]
    stored: Future[BatchResult]
    published: Future[None]


class Pipeline:
    """The pipeline of one consumer group member.

    `now` is the clock that fact times are validated against. `heartbeat` is called at least every other second, also
    while the pipeline waits.
    """

    def __init__(
        self,
        consumer: KafkaConsumer,
        publish: Callable[[Sequence[StoredRows]], None],
        stop: threading.Event,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        heartbeat: Callable[[], None] = lambda: None,
        writer: BatchWriter | None = None,
    ) -> None:
        self._consumer = consumer
        self._publisher = publish
        self._stop = stop
        self._now = now
        self._heartbeat = heartbeat
        self._writer = writer or BatchWriter()
        self._has_ended = threading.Event()

    def run(self, batch_size: int) -> None:
        """Runs until `stop` is set. Raises DatabaseWentBack, and errors without a policy."""
        with (
            suppress(PipelineStopped),
            ThreadPoolExecutor(1, "publish") as publish_thread,
            ThreadPoolExecutor(1, "store") as store_thread,
        ):
            try:
                self._run(batch_size, store_thread, publish_thread)
            finally:
                self._has_ended.set()
                # Django's connections belong to their thread.
                store_thread.submit(connections.close_all)

    def _run(self, batch_size: int, store_thread: Executor, publish_thread: Executor) -> None:
        in_flight = deque[InFlightBatch]()
        while not self._stop.is_set():
            self._heartbeat()
            messages = self._consumer.read(batch_size, timeout=0 if in_flight else 0.2)
            batch = self._decode(messages) if messages else None
            texts = self._writer.copy_texts(batch) if batch else {}
            # After a full batch more messages are available: one batch stays in flight, so the database never idles.
            max_in_flight = 1 if len(messages) == batch_size and not self._consumer.gaps else 0
            while len(in_flight) > max_in_flight:
                self._complete(in_flight.popleft())
            gaps = list(self._consumer.gaps)
            if batch:
                previous = in_flight[-1].stored if in_flight else None
                stored = store_thread.submit(self._store_after, previous, messages, batch, texts)
                published = publish_thread.submit(self._publish, stored)
                in_flight.append(InFlightBatch(messages, gaps, stored, published))
            else:
                self._skip_gaps(gaps)
        for remaining in in_flight:
            self._complete(remaining)

    def _decode(self, messages: Sequence[KafkaMessage]) -> DecodedBatch:
        failpoint("read")
        batch = decode_batch(messages, self._now())
        failpoint("decoded")
        return batch

    def _store_after(
        self,
        previous: Future[BatchResult] | None,
        messages: Sequence[KafkaMessage],
        batch: DecodedBatch,
        texts: Mapping[str, str],
    ) -> BatchResult:
        """Stores the batch after the previous one; raises the previous one's error, so that batches stay in order."""
        if previous:
            previous.result()
        started_at = time.monotonic()
        result = self._store_all(messages, batch, texts)
        metrics.INGEST_BATCH_DURATION_SECONDS.observe(time.monotonic() - started_at)
        return result

    def _store_all(
        self, messages: Sequence[KafkaMessage], batch: DecodedBatch, texts: Mapping[str, str] | None = None
    ) -> BatchResult:
        try:
            return self._store_when_possible(messages, batch, texts)
        except BatchRejected as error:
            return self._bisect(messages, error)

    def _publish(self, result: Future[BatchResult]) -> None:
        stored = result.result().stored
        failpoint("stored")
        self._publisher(stored)
        failpoint("published")

    def _complete(self, batch: InFlightBatch) -> None:
        """Waits until the batch is stored and published, then commits its offsets."""
        while not wait([batch.published], POLL_WHILE_STORING_SECONDS).done:
            self._heartbeat()
            self._consumer.poll_paused()
        batch.published.result()
        # A gap may follow messages of this batch: committing past it before they are stored would lose them.
        self._skip_gaps(batch.gaps)
        self._consumer.commit(batch.messages)
        failpoint("committed")
        metrics.INGEST_BATCH_SIZE_MESSAGES.observe(len(batch.messages))
        _log_rejected(batch.stored.result().rejected)

    def _skip_gaps(self, gaps: Sequence[OffsetGap]) -> None:
        if gaps and record_gaps(gaps):
            self._consumer.skip_gaps(gaps)

    def _store_when_possible(
        self, messages: Sequence[KafkaMessage], batch: DecodedBatch, texts: Mapping[str, str] | None = None
    ) -> BatchResult:
        """Retries with backoff while the database is unavailable; raises PipelineStopped on stop.

        The exception also prevents that later parts of a bisected batch are stored first.
        """
        backoff = Backoff(RETRY_PAUSES_SECONDS)
        while True:
            if batch.validated_at is not None and self._now() - batch.validated_at > REVALIDATE_AFTER:
                batch, texts = self._decode(messages), None
            try:
                stored = self._writer.write(batch, texts, next_offsets(messages))
                self._observe_latency(batch)
                return BatchResult(stored, batch.rejected)
            except (DatabaseError, InterfaceError) as error:
                if not is_unavailable(error):
                    raise
                pause = backoff.next()
                metrics.INGEST_DATABASE_RETRIES_TOTAL.inc()
                log.warning("the database is unavailable (%s); next attempt in %s s", str(error).strip(), pause)
                connection.close()
                if self._stop.wait(pause) or self._has_ended.is_set():
                    raise PipelineStopped from error

    def _observe_latency(self, batch: DecodedBatch) -> None:
        # Messages of old producers have no Kafka timestamp: 0 or -1.
        if batch.sent_ms > 0:
            metrics.INGEST_LATENCY_SECONDS.observe(max(0.0, self._now().timestamp() - batch.sent_ms / 1000))

    def _bisect(self, messages: Sequence[KafkaMessage], error: BatchRejected) -> BatchResult:
        """Isolates the message that the database rejects as a dead letter, and stores its neighbours."""
        if len(messages) == 1:
            message = RejectedMessage(messages[0], Reason.REFUSED_BY_DATABASE, str(error))
            return self._store_when_possible(messages, DecodedBatch(rejected=[message]))
        middle = len(messages) // 2
        stored, rejected = list[StoredRows](), list[RejectedMessage]()
        for half in (messages[:middle], messages[middle:]):
            result = self._store_all(half, self._decode(half))
            stored += result.stored
            rejected += result.rejected
        return BatchResult(stored, rejected)


def _log_rejected(rejected: Sequence[RejectedMessage]) -> None:
    """Logs one line a batch: a faulty producer sends thousands of invalid messages."""
    if rejected:
        reasons = Tally(message.reason.value for message in rejected)
        counts = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
        topic, partition, offset = rejected[0].message[:3]
        text = "%s messages rejected (%s), the first at %s[%s]@%s; run `manage.py dead_letters list` for details"
        log.warning(text, len(rejected), counts, topic, partition, offset)
