"""The clock that ages and answers are told by; a test puts another in its place."""

from datetime import UTC, datetime


def now() -> datetime:
    return datetime.now(UTC)


def age_seconds(time: datetime, now: datetime) -> float:
    """How old what happened at `time` is; a fact from a clock that runs ahead of ours is new, not negative."""
    return max(round((now - time).total_seconds(), 3), 0.0)
