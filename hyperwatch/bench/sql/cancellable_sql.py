"""Long statements that Ctrl-C can interrupt."""

import select
from types import TracebackType
from typing import Any, Self

import psycopg2  # type: ignore[import-untyped, unused-ignore]
from psycopg2.extensions import POLL_OK, POLL_READ  # type: ignore[import-untyped, unused-ignore]


class CancellableSession:
    """A connection to `url` inside `with`; each statement is a transaction.

    A blocking call of libpq does not return before the server responds, and Python handles no signal until then.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def __enter__(self) -> Self:
        self._connection = psycopg2.connect(self._url, async_=1)
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def run(self, sql: str, values: Any = None) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values)
            self._wait()
            return cursor.fetchall() if cursor.description else []

    def value(self, sql: str, values: Any = None) -> Any:
        return self.run(sql, values)[0][0]

    def _wait(self) -> None:
        while (state := self._connection.poll()) != POLL_OK:
            reads, writes = ([self._connection], []) if state == POLL_READ else ([], [self._connection])
            select.select(reads, writes, [])
