"""All clients of the soak, on an event loop in a thread of its own."""

import asyncio
import threading
from random import Random

from hyperwatch.soak.environment import SoakOptions
from hyperwatch.soak.persistent_clients import PersistentClient
from hyperwatch.soak.processes import Child
from hyperwatch.soak.transient_clients import TransientClients


class ClientPool:
    """Those who stay, from `start` to `stop`, and those who come and go, until `disconnect_transient`."""

    def __init__(self, web: Child, asked: SoakOptions) -> None:
        ws_url = f"ws://127.0.0.1:{web.port}/ws"
        self.listeners = [PersistentClient(ws_url, number) for number in range(1, asked.clients + 1)]
        self.visitors = TransientClients(web.url, ws_url, asked.visitors, Random(asked.seed))  # noqa: S311 (no secret)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="audience", daemon=True)
        self._staying: list[asyncio.Task[None]] = []
        self._visiting: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._begin(), self._loop).result()

    def disconnect_transient(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end([self._visiting] if self._visiting else []), self._loop).result(30)

    def stop(self) -> None:
        self.disconnect_transient()
        asyncio.run_coroutine_threadsafe(self._end(self._staying), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _begin(self) -> None:
        self._staying = [asyncio.ensure_future(listener.run()) for listener in self.listeners]
        self._visiting = asyncio.ensure_future(self.visitors.run())

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
