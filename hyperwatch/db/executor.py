"""Runs database queries of an event loop in threads, so that they do not block the loop."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from django.db import DatabaseError, InterfaceError, connection

from hyperwatch.db.statement_timeout import set_statement_timeout

T = TypeVar("T")


class DatabaseExecutor:
    """`max_threads` threads, each with one persistent connection. An executor for one kind of query delays no other.

    `timeout_seconds` limits each statement; None means no limit.
    """

    def __init__(self, name: str, max_threads: int = 1, *, timeout_seconds: float | None) -> None:
        self._executor = ThreadPoolExecutor(max_threads, name, partial(set_statement_timeout, timeout_seconds))
        self._max_threads = max_threads

    async def run(self, query: Callable[..., T], *args: Any) -> T:
        """Returns `query(*args)`; raises the database's errors."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, _run, query, args)

    def shutdown(self) -> None:
        # Connections are closed in their own threads. The barrier prevents one thread from taking two of the tasks.
        barrier = threading.Barrier(self._max_threads)
        for _ in range(self._max_threads):
            self._executor.submit(_close, barrier)
        self._executor.shutdown(wait=False)


def _close(barrier: threading.Barrier) -> None:
    connection.close()
    barrier.wait()


def _run(query: Callable[..., T], args: tuple[Any, ...]) -> T:
    # Replaces a connection that broke while idle.
    connection.close_if_unusable_or_obsolete()
    try:
        return query(*args)
    except (DatabaseError, InterfaceError):
        connection.close()
        raise
