"""A pool of WebSocket clients in a process of its own (`websocket_worker.py`)."""

import asyncio
import json
import sys
import time
import zlib
from types import TracebackType
from typing import Any, Self

from django.conf import settings

from hyperwatch.bench import CannotMeasureError
from hyperwatch.harness.process import PDEATHSIG_PREFIX

# Below Twisted's listen backlog of 50 (stock server): the kernel drops a SYN beyond it, and TCP retries after 1 s.
MAX_CONNECTING = 32
COMMAND_TIMEOUT_SECONDS = 60.0
# A handshake costs the server 2 to 8 ms.
CONNECT_TIMEOUT_SECONDS_EACH = 0.05
DELIVERY_TIMEOUT_SECONDS = 15.0
STATUS_INTERVAL_SECONDS = 0.2


class WebSocketPool:
    """Runs the worker process inside `async with`; `complete` counts the messages that all clients have."""

    async def __aenter__(self) -> Self:
        command = [*PDEATHSIG_PREFIX, sys.executable, "-m", "hyperwatch.bench.load.websocket_worker"]
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, cwd=settings.BASE_DIR, start_new_session=True
        )
        self.complete = 0
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()

    async def connect(
        self, clients: int, port: int, path: str = "/ws", subscribe: str = "", max_connecting: int = MAX_CONNECTING
    ) -> float:
        """Seconds until all are connected and subscribed; raises CannotMeasureError if one fails."""
        options = {"port": port, "path": path, "subscribe": subscribe, "max_connecting": max_connecting}
        seconds = COMMAND_TIMEOUT_SECONDS + clients * CONNECT_TIMEOUT_SECONDS_EACH
        response = await self.request("connect", seconds, clients=clients, **options)
        if response["connected"] != clients:
            raise CannotMeasureError(
                f"only {response['connected']} of {clients} clients connected; closed: {response['closed']}"
            )
        return float(response["seconds"])

    async def expect(self, step: int = 0, timed: int = 0) -> None:
        """Starts a run."""
        await self.request("expect", step=step, timed=timed)
        self.complete = 0

    async def wait_until_idle(self, seconds: float = 1.0, frames: int | None = None) -> dict[str, Any]:
        """The status once all clients have `frames` frames, or after `seconds` without a change."""
        status = await self.request("status")
        changed_at = time.monotonic()
        while time.monotonic() < changed_at + seconds:
            if status["frames"] == frames and status["whole"] == status["clients"]:
                break
            await asyncio.sleep(STATUS_INTERVAL_SECONDS)
            before, status = status, await self.request("status")
            if status != before:
                changed_at = time.monotonic()
        return status

    @staticmethod
    def has_received(status: dict[str, Any], wire_bytes: bytes) -> bool:
        """Compares length and CRC-32 of the received bytes with `wire_bytes`."""
        return (status["bytes"], status["crc"]) == (len(wire_bytes), zlib.crc32(wire_bytes))

    async def request(
        self, command: str, timeout_seconds: float = COMMAND_TIMEOUT_SECONDS, **arguments: Any
    ) -> dict[str, Any]:
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 (stdin=PIPE)
        stdin.write(json.dumps({"command": command, **arguments}).encode() + b"\n")
        async with asyncio.timeout(timeout_seconds):
            while "complete" in (response := await self._read_line()):
                self.complete = response["complete"]
        return response

    async def wait_for(self, messages: int) -> None:
        """Waits until all clients have `messages` messages; TimeoutError after a silence of 15 seconds."""
        while self.complete < messages:
            async with asyncio.timeout(DELIVERY_TIMEOUT_SECONDS):
                self.complete = (await self._read_line())["complete"]

    async def _read_line(self) -> dict[str, Any]:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 (stdout=PIPE)
        line = await stdout.readline()
        if not line:
            raise CannotMeasureError("the WebSocket client process exited")
        response: dict[str, Any] = json.loads(line)
        return response
