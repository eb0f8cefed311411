"""Questions to the database from an event loop, which must not wait for their answers."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import DatabaseError, InterfaceError, connection

T = TypeVar("T")


class DatabaseThread:
    """One thread with one lasting connection; after a failure the next question gets a new one."""

    def __init__(self, name: str, timeout_seconds: int | None = None) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._timeout_seconds = timeout_seconds

    async def ask(self, question: Callable[..., T], *args: Any) -> T:
        """The answer of `question(*args)`; raises what the database raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._answer, question, args)

    def end(self) -> None:
        # Looked up over there: `connection` is another in each thread.
        self._executor.submit(lambda: connection.close())
        self._executor.shutdown(wait=False)

    def _answer(self, question: Callable[..., T], args: tuple[Any, ...]) -> T:
        try:
            if connection.connection is None and self._timeout_seconds is not None:
                with connection.cursor() as cursor:
                    cursor.execute("SET statement_timeout = %s", [f"{self._timeout_seconds}s"])
            return question(*args)
        except (DatabaseError, InterfaceError):
            connection.close()
            raise
