"""A swarm of clients, as whoever orders it about sees it."""

import asyncio
import json
import resource
import sys
import time
import zlib
from types import TracebackType
from typing import Any, Self

from django.conf import settings

from hyperwatch.bench import CannotMeasureError
from hyperwatch.harness.process import PDEATHSIG_PREFIX

# As many connections may wait to be accepted by Twisted; those that more would lose come again a second later.
POLITE = 32
PATIENCE = 60.0


class WebSocketPool:
    """From `async with` to its end; `complete` is how many messages all of them have got whole."""

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
        self, clients: int, port: int, path: str = "/ws", subscribe: str = "", at_once: int = POLITE
    ) -> float:
        """Seconds until the last one was there and subscribed; raises CannotMeasureError where one was not."""
        answer = await self.ask("connect", clients=clients, port=port, path=path, subscribe=subscribe, at_once=at_once)
        if answer["connected"] != clients:
            raise CannotMeasureError(f"of {clients} clients only {answer['connected']} came: {answer['closed']}")
        return float(answer["seconds"])

    async def expect(self, step: int = 0, timed: int = 0) -> None:
        """Begins a run."""
        await self.ask("expect", step=step, timed=timed)
        self.complete = 0

    async def wait_until_still(self, seconds: float = 1.0, frames: int | None = None) -> dict[str, Any]:
        """What they tell once all have so many frames, or nothing has come for so many `seconds`."""
        told = await self.ask("tell")
        since = time.monotonic()
        while time.monotonic() < since + seconds:
            if told["frames"] == frames and told["whole"] == told["clients"]:
                break
            await asyncio.sleep(0.2)
            before, told = told, await self.ask("tell")
            if told != before:
                since = time.monotonic()
        return told

    @staticmethod
    def got(told: dict[str, Any], wire: bytes) -> bool:
        """Whether those who are whole, as they told, got exactly this."""
        return (told["bytes"], told["crc"]) == (len(wire), zlib.crc32(wire))

    async def ask(self, order: str, **words: Any) -> dict[str, Any]:
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 (a pipe, as ordered)
        stdin.write(json.dumps({"order": order, **words}).encode() + b"\n")
        async with asyncio.timeout(PATIENCE):
            while "complete" in (answer := await self._line()):
                self.complete = answer["complete"]
        return answer

    async def wait_for(self, messages: int) -> None:
        """Until all have so many messages; raises TimeoutError once nothing more comes."""
        while self.complete < messages:
            async with asyncio.timeout(PATIENCE / 4):
                self.complete = (await self._line())["complete"]

    async def _line(self) -> dict[str, Any]:
        stdout = self._process.stdout
        assert stdout is not None  # noqa: S101 (a pipe, as ordered)
        line = await stdout.readline()
        if not line:
            raise CannotMeasureError("the swarm of clients died")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _check_file_limit(clients: int) -> None:
    """The server's limit is ours, and it has other files open too."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if clients > allowed - 200:
        raise CannotMeasureError(f"{clients} clients need as many open files, and {allowed} are allowed: see ulimit -n")
