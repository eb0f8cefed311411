"""PostgreSQL's `statement_timeout` for the web process.

Without it, a locked table or a slow disk would block one worker thread after the other, until none is left to respond
with an error. The consumer sets no timeout.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from django.db.backends.signals import connection_created
from django.dispatch import receiver

# PostgreSQL rounds to milliseconds, and its timer starts after that of this process.
TIMER_TOLERANCE_SECONDS = 0.1

_this_thread = threading.local()


def set_statement_timeout(seconds: float | None) -> None:
    """Sets the timeout of all connections that this thread opens later; None means no limit."""
    _this_thread.seconds = seconds


@receiver(connection_created)
def _apply_timeout(connection: Any, **_signal: Any) -> None:
    seconds = getattr(_this_thread, "seconds", None)
    if seconds is not None:
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = %s", [milliseconds(seconds)])


@contextmanager
def statement_timeout(seconds: float) -> Iterator[None]:
    """A transaction with this timeout; a statement that exceeds it raises OperationalError."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = %s", [milliseconds(seconds)])
        yield


class SearchBudget:
    """Time for all statements of one read, which must be in a transaction; `execute` is a wrapper of Django's cursors.

    Each statement gets the remaining time as its `statement_timeout`. A wait for a lock ends earlier, by
    `lock_timeout`: it says nothing about the search.
    """

    def __init__(self, seconds: float) -> None:
        self._deadline = time.monotonic() + seconds

    @property
    def is_spent(self) -> bool:
        return time.monotonic() >= self._deadline - TIMER_TOLERANCE_SECONDS

    def execute(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        left = self._deadline - time.monotonic()
        limits = (
            f"SET LOCAL statement_timeout = {milliseconds(left)}; SET LOCAL lock_timeout = {milliseconds(left / 2)}"
        )
        # In one message: PostgreSQL applies the timeouts to each of its statements separately.
        return execute(f"{limits}; {sql}", params, many, context)


def milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1_000))
