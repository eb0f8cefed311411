"""The way of a fact: read, decode, store and commit, publish, commit the offsets. In this order, here.

While a batch is stored, the next one is read and decoded, and the one before is told: the database works meanwhile.

What is read is stored before it is told, and told before it counts as read. So whatever dies in between is
made good by what is stored: a message that comes again is known, and a hub that was not told reads the heads.
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

from django.db import InterfaceError, OperationalError, connection, connections

from hyperwatch import metrics
from hyperwatch.concurrency.backoff import Backoff
from realtime.ingest.data_loss import record_gaps
from realtime.ingest.decoder import DecodedBatch, RejectedMessage, decode_batch
from realtime.ingest.failpoints import failpoint
from realtime.ingest.writer import BatchRejected, BatchWriter
from realtime.kafka.consumer import KafkaConsumer, KafkaMessage
from realtime.kafka.offset_tracker import OffsetGap
from realtime.models import Reason
from realtime.storage.records import StoredRows
from realtime.storage.retention import PRUNE_MARGIN

log = logging.getLogger(__name__)

RETRY_PAUSES_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
# After so long a member that waits for its batch to be stored takes part in the group's life; what it has fetched of
# the next is lost by that.
PATIENCE = 1.0

# What waited so long for the database may have been pruned meanwhile, and is too old now.
REVALIDATE_AFTER = PRUNE_MARGIN / 2


class PipelineStopped(Exception):
    """The stop came before the batch could be stored: whoever reads it again stores it."""


class BatchResult(NamedTuple):
    """What was new in a batch, and what was refused."""

    stored: Sequence[StoredRows]
    letters: Sequence[RejectedMessage]


class InFlightBatch(NamedTuple):
    """A batch that is being stored and told, with the losses that were noticed when it was read."""

    messages: Sequence[KafkaMessage]
    lost: Sequence[OffsetGap]
    stored: Future[BatchResult]
    told: Future[None]


class Pipeline:
    """One member of the consumer group.

    `now` is the clock that the future is measured by; `goes_on` is called every other second, whatever is waited for.
    """

    def __init__(
        self,
        consumer: KafkaConsumer,
        publish: Callable[[Sequence[StoredRows]], None],
        stop: threading.Event,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        goes_on: Callable[[], None] = lambda: None,
        store: BatchWriter | None = None,
    ) -> None:
        self._consumer = consumer
        self._publisher = publish
        self._stop = stop
        self._now = now
        self._goes_on = goes_on
        self._store = store or BatchWriter()
        self._has_ended = threading.Event()

    def run(self, batch_size: int) -> None:
        """Works until it is stopped. Raises what no policy covers; nothing is committed for that."""
        with (
            suppress(PipelineStopped),
            ThreadPoolExecutor(1, "telling") as telling,
            ThreadPoolExecutor(1, "storing") as storing,
        ):
            try:
                self._run(batch_size, storing, telling)
            finally:
                self._has_ended.set()
                # Of that thread.
                storing.submit(connections.close_all)

    def _run(self, batch_size: int, storing: Executor, telling: Executor) -> None:
        underway = deque[InFlightBatch]()
        while not self._stop.is_set():
            self._goes_on()
            messages = self._consumer.read(batch_size, wait=0 if underway else 0.2)
            batch = self._decode(messages) if messages else None
            texts = self._store.copy_texts(batch) if batch else {}
            # Behind a full batch there is more: the database is to have the next one as soon as it is done with one.
            ahead = 1 if len(messages) == batch_size and not self._consumer.gaps else 0
            while len(underway) > ahead:
                self._complete(underway.popleft())
            lost = list(self._consumer.gaps)
            if batch:
                before = underway[-1].stored if underway else None
                stored = storing.submit(self._store_after, before, messages, batch, texts)
                underway.append(InFlightBatch(messages, lost, stored, telling.submit(self._publish, stored)))
            else:
                self._skip_gaps(lost)
        for one in underway:
            self._complete(one)

    def _decode(self, messages: Sequence[KafkaMessage]) -> DecodedBatch:
        failpoint("read")
        batch = decode_batch(messages, self._now())
        failpoint("decoded")
        return batch

    def _store_after(
        self,
        before: Future[BatchResult] | None,
        messages: Sequence[KafkaMessage],
        batch: DecodedBatch,
        texts: Mapping[str, str],
    ) -> BatchResult:
        """Raises what the batch before raised: no later one is stored without it."""
        if before:
            before.result()
        began = time.monotonic()
        outcome = self._store_all(messages, batch, texts)
        metrics.INGEST_BATCH_DURATION_SECONDS.observe(time.monotonic() - began)
        return outcome

    def _store_all(
        self, messages: Sequence[KafkaMessage], batch: DecodedBatch, texts: Mapping[str, str] | None = None
    ) -> BatchResult:
        try:
            return self._store_when_possible(messages, batch, texts)
        except BatchRejected as refused:
            return self._bisect(messages, refused)

    def _publish(self, storing: Future[BatchResult]) -> None:
        stored = storing.result().stored
        failpoint("stored")
        self._publisher(stored)
        failpoint("published")

    def _complete(self, underway: InFlightBatch) -> None:
        """Waits until the batch is stored and told, and commits its offsets."""
        while not wait([underway.told], PATIENCE).done:
            self._goes_on()
            self._consumer.poll_paused()
        underway.told.result()
        # A hole may lie behind messages of the batch: it is passed over once these are stored.
        self._skip_gaps(underway.lost)
        self._consumer.commit(underway.messages)
        failpoint("committed")
        metrics.INGEST_BATCH_SIZE_MESSAGES.observe(len(underway.messages))
        _tell_of(underway.stored.result().letters)

    def _skip_gaps(self, lost: Sequence[OffsetGap]) -> None:
        if lost and record_gaps(lost):
            self._consumer.skip_gaps(lost)

    def _store_when_possible(
        self, messages: Sequence[KafkaMessage], batch: DecodedBatch, texts: Mapping[str, str] | None = None
    ) -> BatchResult:
        """Raises Stopped where the stop comes first, so that no later part of a batch goes before it."""
        backoff = Backoff(RETRY_PAUSES_SECONDS)
        while True:
            if batch.judged_at is not None and self._now() - batch.judged_at > REVALIDATE_AFTER:
                batch, texts = self._decode(messages), None
            try:
                stored = self._store.write(batch, texts)
                self._observe_latency(batch)
                return BatchResult(stored, batch.rejected)
            except (OperationalError, InterfaceError) as error:
                pause = backoff.next()
                metrics.INGEST_DATABASE_RETRIES_TOTAL.inc()
                log.warning("the database does not store (%s); next try in %s s", str(error).strip(), pause)
                connection.close()
                if self._stop.wait(pause) or self._has_ended.is_set():
                    raise PipelineStopped from error

    def _observe_latency(self, batch: DecodedBatch) -> None:
        # Kafka has no timestamp for a message of an old producer: 0 or -1.
        if batch.sent_ms > 0:
            metrics.INGEST_LATENCY_SECONDS.observe(max(0.0, self._now().timestamp() - batch.sent_ms / 1000))

    def _bisect(self, messages: Sequence[KafkaMessage], refused: BatchRejected) -> BatchResult:
        """Finds the message that the database does not take: its neighbours are stored, it is put aside."""
        if len(messages) == 1:
            letter = RejectedMessage(messages[0], Reason.REFUSED_BY_DATABASE, str(refused))
            return self._store_when_possible(messages, DecodedBatch(rejected=[letter]))
        middle = len(messages) // 2
        stored, letters = list[StoredRows](), list[RejectedMessage]()
        for half in (messages[:middle], messages[middle:]):
            outcome = self._store_all(half, self._decode(half))
            stored += outcome.stored
            letters += outcome.letters
        return BatchResult(stored, letters)


def _tell_of(letters: Sequence[RejectedMessage]) -> None:
    """One line for a whole batch: a producer that goes wrong sends thousands."""
    if letters:
        reasons = Tally(letter.reason.value for letter in letters)
        counts = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
        topic, partition, offset = letters[0].message[:3]
        told = "%s refused (%s), the first at %s[%s]@%s; `manage.py dead_letters list` tells more"
        log.warning(told, len(letters), counts, topic, partition, offset)
