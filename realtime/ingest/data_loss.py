"""What Kafka removed before it was read: nobody can bring it back, so it is told (log, metric, `/health/ready`)."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db import connection
from django.db.models import F, Sum

from hyperwatch.db.errors import DATABASE_UNAVAILABLE, normalize_db_errors
from hyperwatch.metrics import KAFKA_LOST_MESSAGES_TOTAL
from realtime.kafka.offset_tracker import OffsetGap
from realtime.models import LostMessages

log = logging.getLogger(__name__)

# So long readiness tells of a loss: an operator is to see it, and nobody can mend it.
SHOWN = timedelta(days=1)


def record_gaps(losses: Sequence[OffsetGap]) -> bool:
    """Writes them down, where web processes see it, and tells of each; False where the database is away.

    What is noticed again is kept once.
    """
    try:
        with normalize_db_errors():
            _keep(losses)
    except DATABASE_UNAVAILABLE as error:
        log.warning("a loss cannot be written down yet: %s", str(error).strip())
        connection.close()
        return False
    for lost in losses:
        KAFKA_LOST_MESSAGES_TOTAL.labels(lost.topic).inc(lost.messages)
        told = "%s[%s]: Kafka removed %s messages before they were read, offsets %s to %s; they are lost"
        log.error(told, lost.topic, lost.partition, lost.messages, lost.first, lost.last)
    return True


def _keep(losses: Sequence[OffsetGap]) -> None:
    LostMessages.objects.bulk_create(
        [LostMessages(**lost._asdict()) for lost in losses],
        update_conflicts=True,
        unique_fields=["topic", "partition", "first"],
        update_fields=["last"],
    )


def recent_gaps() -> dict[str, int]:
    """How many were noticed to be lost within the last day, by partition: {"hyperliquid.transactions[3]": 7}."""
    lately = LostMessages.objects.filter(noticed_at__gt=datetime.now(UTC) - SHOWN)
    counts = lately.values_list("topic", "partition").annotate(lost=Sum(F("last") - F("first") + 1))
    return {f"{topic}[{partition}]": count for topic, partition, count in counts.order_by("topic", "partition")}
