"""All clients of the soak, on an event loop in a separate thread."""

import asyncio
import threading
from random import Random

from hyperwatch.soak.environment import SoakOptions
from hyperwatch.soak.persistent_clients import PersistentClient
from hyperwatch.soak.processes import SoakProcess
from hyperwatch.soak.transient_clients import TransientClients


class ClientPool:
    """Persistent clients run from `start` to `stop`, transient clients until `disconnect_transient`."""

    def __init__(self, web: SoakProcess, options: SoakOptions) -> None:
        ws_url = f"ws://127.0.0.1:{web.port}/ws"
        self.persistent = [PersistentClient(ws_url, number) for number in range(1, options.clients + 1)]
        rng = Random(options.seed)  # noqa: S311 (no secret)
        self.transient = TransientClients(web.url, ws_url, options.transient_clients, rng)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="clients", daemon=True)
        self._persistent_tasks: list[asyncio.Task[None]] = []
        self._transient_task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start_tasks(), self._loop).result()

    def disconnect_transient(self) -> None:
        tasks = [self._transient_task] if self._transient_task else []
        asyncio.run_coroutine_threadsafe(self._cancel(tasks), self._loop).result(30)

    def stop(self) -> None:
        self.disconnect_transient()
        asyncio.run_coroutine_threadsafe(self._cancel(self._persistent_tasks), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _start_tasks(self) -> None:
        self._persistent_tasks = [asyncio.ensure_future(client.run()) for client in self.persistent]
        self._transient_task = asyncio.ensure_future(self.transient.run())

    async def _cancel(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
