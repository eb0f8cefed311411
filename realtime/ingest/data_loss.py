"""Records offset gaps, which are permanent data loss, for the log, a metric and `/health/ready`."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction
from django.db.models import F, Sum

from hyperwatch.db.errors import DATABASE_UNAVAILABLE, normalize_db_errors
from hyperwatch.metrics import KAFKA_LOST_MESSAGES_TOTAL
from realtime.kafka.offset_tracker import OffsetGap, next_offsets
from realtime.models import LostMessages
from realtime.storage import consumer_offsets

log = logging.getLogger(__name__)

# `/health/ready` reports a gap this long. No action resolves it, so the report must end by itself.
REPORT_PERIOD = timedelta(days=1)


def record_gaps(gaps: Sequence[OffsetGap]) -> bool:
    """Stores the gaps for the web processes and logs each; False if the database is unavailable.

    A gap that is detected again updates its row. The consumer starts after it from then on.
    """
    try:
        with normalize_db_errors():
            _insert(gaps)
    except DATABASE_UNAVAILABLE as error:
        log.warning("an offset gap cannot be stored yet, because the database is unavailable: %s", str(error).strip())
        connection.close()
        return False
    for gap in gaps:
        KAFKA_LOST_MESSAGES_TOTAL.labels(gap.topic).inc(gap.messages)
        text = "%s[%s]: Kafka removed %s messages before they were read, offsets %s to %s; they are lost"
        log.error(text, gap.topic, gap.partition, gap.messages, gap.first, gap.last)
    return True


def _insert(gaps: Sequence[OffsetGap]) -> None:
    with transaction.atomic():
        LostMessages.objects.bulk_create(
            [LostMessages(**gap._asdict()) for gap in gaps],
            update_conflicts=True,
            unique_fields=["topic", "partition", "first"],
            update_fields=["last"],
        )
        consumer_offsets.advance(next_offsets(gaps))


def recent_gaps() -> dict[str, int]:
    """Lost messages by partition, detected within REPORT_PERIOD: {"hyperliquid.transactions[3]": 7}."""
    recent = LostMessages.objects.filter(noticed_at__gt=datetime.now(UTC) - REPORT_PERIOD)
    counts = recent.values_list("topic", "partition").annotate(lost=Sum(F("last") - F("first") + 1))
    return {f"{topic}[{partition}]": count for topic, partition, count in counts.order_by("topic", "partition")}
