"""A transport over ASGI's `send`, for servers without one of their own (hyperwatch/server/websocket.py has one)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from realtime.delivery.filter_groups import FrameBatch

log = logging.getLogger(__name__)

Send = Callable[[Any], Awaitable[None]]


class AsgiTransport:
    """Sends frames one after the other, and is writable while no call of `send` is pending.

    `send` returns once the server has accepted a frame; ASGI has no other back-pressure.
    """

    kind = "asgi"
    is_compressed = False

    def __init__(self, send: Send) -> None:
        self._send = send
        self._queue: list[FrameBatch] = []
        self._sending: asyncio.Task[None] | None = None
        self.on_drain: Callable[[], None] | None = None

    @property
    def writable(self) -> bool:
        return self._sending is None

    def push(self, batch: FrameBatch) -> None:
        self._queue.append(batch)
        if self._sending is None:
            self._sending = asyncio.ensure_future(self._send_all())

    async def _send_all(self) -> None:
        try:
            while self._queue:
                for text in self._queue.pop(0).texts:
                    await self._send({"type": "websocket.send", "text": text})
        except Exception:
            log.warning("sending a frame failed", exc_info=True)
        self._sending = None
        if self.on_drain is not None:
            self.on_drain()
