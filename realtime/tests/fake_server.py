"""A WebSocket server that follows a script, for situations that a real server rarely produces."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from realtime.client import Client, Event

Script = Callable[["Line"], Awaitable[None]]


class Line:
    """One client's connection as the server sees it."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket

    async def hear(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(await self.socket.recv())
        return frame

    async def say(self, type: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": type, **fields}))

    async def report(self, *seqs: int) -> None:
        for seq in seqs:
            await self.say(**fact(seq))

    async def greet(self, head: int = 0, epoch: str = "one") -> None:
        assert await self.hear() == {"type": "hello"}
        await self.say("connected", epoch=epoch, channels={"liquidations": {"head": head, "floor": 0}})

    async def agree(self, head: int = 0, epoch: str = "one") -> dict[str, Any]:
        """Greets, takes a subscription and returns its params."""
        await self.greet(head, epoch)
        frame = await self.hear()
        await self.say("subscribed", channels=frame["channels"])
        params: dict[str, Any] = frame["params"]
        return params

    async def refuse(self, code: str) -> None:
        await self.greet()
        await self.hear()
        await self.say("error", code=code, message=f"{code} it is")

    async def stay(self) -> None:
        await self.socket.wait_closed()


def fact(seq: int) -> dict[str, Any]:
    return {
        "type": "liquidation",
        "channel": "liquidations",
        "timestamp": "2026-01-10T10:30:00Z",
        "seq": seq,
        "data": {},
    }


@asynccontextmanager
async def scripted(*scripts: Script) -> AsyncIterator[str]:
    """Plays a script for each connection, in their order, and gives the address; the last one stays in force."""
    left = list(scripts)

    async def play(socket: ServerConnection) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(Line(socket))

    async with serve(play, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/ws"


async def take(client: Client, count: int, seconds: float = 5.0) -> list[Event]:
    """The next events, so many of them."""
    async with asyncio.timeout(seconds):
        return [await anext(client) for _ in range(count)]
