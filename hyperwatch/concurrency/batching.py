"""Batches concurrent calls of an event loop's tasks: calls during one load share the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class BatchLoader(Generic[Key, Value]):
    """`load_batch` returns the values of several keys, in their order. Each call of `load` starts before its batch.

    So a value is never older than the call that requested it.
    """

    def __init__(self, load_batch: Callable[[Sequence[Key]], Awaitable[Sequence[Value]]]) -> None:
        self._load_batch = load_batch
        self._pending: list[tuple[Key, asyncio.Future[Value]]] = []
        self._task: asyncio.Task[None] | None = None

    async def load(self, key: Key) -> Value:
        future: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._pending.append((key, future))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._pending:
                batch, self._pending = self._pending, []
                await self._resolve(batch)
        finally:
            self._task = None

    async def _resolve(self, batch: Sequence[tuple[Key, asyncio.Future[Value]]]) -> None:
        try:
            values = await self._load_batch([key for key, _ in batch])
        except Exception as error:  # noqa: BLE001 (each caller gets it)
            _fail(batch, error)
        else:
            for (_, future), value in zip(batch, values, strict=True):
                if not future.done():
                    future.set_result(value)


def _fail(batch: Sequence[tuple[Key, asyncio.Future[Value]]], error: Exception) -> None:
    for _, future in batch:
        if not future.done():
            future.set_exception(error)
