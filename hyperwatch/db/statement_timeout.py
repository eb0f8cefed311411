"""PostgreSQL's `statement_timeout` for the web process.

Without it, a locked table or a slow disk would block one worker thread after the other, until none is left to respond
with an error. The consumer sets no timeout.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction
from django.db.backends.signals import connection_created
from django.dispatch import receiver

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


def milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1_000))
