"""The clock of ages and timestamps in responses; tests replace `now`."""

from datetime import UTC, datetime

from hyperwatch.formats import UtcTime


def now() -> UtcTime:
    return UtcTime.now(UTC)


def age_seconds(time: datetime, now: datetime) -> float:
    """Age at `now`, never negative: a source's clock may run ahead of this host's."""
    return max(round((now - time).total_seconds(), 3), 0.0)
