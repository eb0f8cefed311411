"""Questions of an event loop's tasks, asked together: those that wait while one is out are the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class BatchLoader(Generic[Q, A]):
    """`ask` answers several questions, each in its place; none of them was asked before it was called."""

    def __init__(self, ask: Callable[[Sequence[Q]], Awaitable[Sequence[A]]]) -> None:
        self._ask = ask
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._going: asyncio.Task[None] | None = None

    async def load(self, question: Q) -> A:
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._going is None:
            self._going = asyncio.create_task(self._go())
        return await answer

    async def _go(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, []
                await self._answer(asked)
        finally:
            self._going = None

    async def _answer(self, asked: Sequence[tuple[Q, asyncio.Future[A]]]) -> None:
        try:
            answers = await self._ask([question for question, _ in asked])
        except Exception as error:  # noqa: BLE001 (whoever asked is told)
            _fail(asked, error)
        else:
            for (_, waits), answer in zip(asked, answers, strict=True):
                if not waits.done():
                    waits.set_result(answer)


def _fail(asked: Sequence[tuple[Q, asyncio.Future[A]]], error: Exception) -> None:
    for _, waits in asked:
        if not waits.done():
            waits.set_exception(error)
