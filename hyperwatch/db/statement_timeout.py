"""How long the web process waits for a statement of the database.

A table that is locked, or a disk that is slow, would take one of its threads after the other, until none is left to
say so. Whoever stores waits as long as it takes.
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
    """From now on, whatever connection this thread opens gives a statement so long; None: as long as it takes."""
    _this_thread.seconds = seconds


@receiver(connection_created)
def _bound(connection: Any, **_signal: Any) -> None:
    seconds = getattr(_this_thread, "seconds", None)
    if seconds is not None:
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = %s", [milliseconds(seconds)])


@contextmanager
def statement_timeout(seconds: float) -> Iterator[None]:
    """Statements within are given so long; one that takes longer is an OperationalError."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = %s", [milliseconds(seconds)])
        yield


def milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1_000))
