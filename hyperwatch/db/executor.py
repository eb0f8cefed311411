"""Questions to the database from an event loop, which must not wait for their answers."""

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
    """`most` threads, each with one lasting connection; questions of one kind wait for each other and for no others.

    `seconds` are given to a statement; None lets it take as long as it takes.
    """

    def __init__(self, name: str, most: int = 1, *, seconds: float | None) -> None:
        self._executor = ThreadPoolExecutor(most, name, partial(set_statement_timeout, seconds))
        self._most = most

    async def run(self, question: Callable[..., T], *args: Any) -> T:
        """The answer of `question(*args)`; raises what the database raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, _answer, question, args)

    def shutdown(self) -> None:
        # Each thread closes its own, and waits for the others: so none of them takes two.
        meeting = threading.Barrier(self._most)
        for _ in range(self._most):
            self._executor.submit(_close, meeting)
        self._executor.shutdown(wait=False)


def _close(meeting: threading.Barrier) -> None:
    connection.close()
    meeting.wait()


def _answer(question: Callable[..., T], args: tuple[Any, ...]) -> T:
    # One that broke while nobody asked is found out before the question, and replaced.
    connection.close_if_unusable_or_obsolete()
    try:
        return question(*args)
    except (DatabaseError, InterfaceError):
        connection.close()
        raise
