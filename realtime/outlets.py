"""The plain way out of a connection, for servers that have no outlet of their own (hyperwatch/websocket.py)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from realtime.followers import Chunk

log = logging.getLogger(__name__)

Send = Callable[[Any], Awaitable[None]]


class PlainOutlet:
    """ASGI's `send`, one frame after the other: whether there is room is known by what has been sent."""

    way = "asgi"
    is_compressed = False

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting: list[Chunk] = []
        self._sending: asyncio.Task[None] | None = None
        self.on_room: Callable[[], None] | None = None

    @property
    def has_room(self) -> bool:
        return self._sending is None

    def push(self, chunk: Chunk) -> None:
        self._waiting.append(chunk)
        if self._sending is None:
            self._sending = asyncio.ensure_future(self._send_all())

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                for text in self._waiting.pop(0).texts:
                    await self._send({"type": "websocket.send", "text": text})
        except Exception:
            log.warning("a frame could not be sent", exc_info=True)
        self._sending = None
        if self.on_room is not None:
            self.on_room()
