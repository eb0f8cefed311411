"""Samples resource use during the soak: memory, descriptors, threads, asyncio tasks and PostgreSQL connections."""

import json
import threading
import time
from contextlib import closing
from http.client import HTTPException
from typing import NamedTuple

import psycopg2  # type: ignore[import-untyped, unused-ignore]
from prometheus_client.parser import text_string_to_metric_families

from hyperwatch.harness.local_http import open_local
from hyperwatch.soak.processes import SoakProcess

SAMPLE_INTERVAL_SECONDS = 1.0
COUNT_CONNECTIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


class ResourceSample(NamedTuple):
    """One sample of a process, `age` seconds after its `lifetime`-th start; `memory` is the RSS in bytes.

    `is_idle`: only persistent clients were connected, and a consumer had committed before. `tasks` counts the tasks
    on the event loop of the web process.
    """

    lifetime: int
    age: float
    memory: int
    descriptors: int
    threads: int
    is_idle: bool
    tasks: int | None


class ResourceSampler:
    """Samples every second from a separate thread.

    A sample is idle when the web process reports `persistent_clients` connections.
    """

    def __init__(self, web: SoakProcess, others: list[SoakProcess], database_url: str, persistent_clients: int) -> None:
        self.web = web
        self._processes = [web, *others]
        self._database_url = database_url
        self._persistent_clients = persistent_clients
        self.samples: dict[str, list[ResourceSample]] = {process.name: [] for process in self._processes}
        self.connections: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="resource-sampler", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def last_lifetime(self, process: SoakProcess) -> list[ResourceSample]:
        return [sample for sample in self.samples[process.name] if sample.lifetime == process.start_count]

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_INTERVAL_SECONDS):
            self._count_connections()
            metrics = _metrics(self.web.url)
            is_idle = metrics.get("hyperwatch_websocket_connections") == self._persistent_clients
            for process in self._processes:
                if process is self.web:
                    self._sample(process, is_idle, metrics.get("hyperwatch_event_loop_tasks"))
                else:
                    self._sample(process, is_idle and _has_committed(process.url), None)

    def _sample(self, process: SoakProcess, is_idle: bool, tasks: int | None) -> None:
        """Discards the sample of a process that exits or restarts meanwhile."""
        lifetime, age = process.start_count, time.monotonic() - process.started_at
        try:
            sample = ResourceSample(
                lifetime, age, process.memory()["Rss"], process.descriptors, process.threads, is_idle, tasks
            )
        except (OSError, KeyError):
            return
        if lifetime == process.start_count:
            self.samples[process.name].append(sample)

    def _count_connections(self) -> None:
        try:
            connecting = closing(psycopg2.connect(self._database_url, connect_timeout=2))
            with connecting as connection, connection.cursor() as cursor:
                cursor.execute(COUNT_CONNECTIONS)
                self.connections += [number for (number,) in cursor.fetchall()]
        except psycopg2.Error:
            pass


def _has_committed(url: str) -> bool:
    """True once a consumer has committed; before, it has not allocated all of its resources."""
    try:
        return json.loads(_read(f"{url}/health"))["last_commit"] is not None
    except (OSError, HTTPException, ValueError):
        return False


def _metrics(url: str) -> dict[str, int]:
    """The values of /metrics, each summed over its labels; empty without a response."""
    try:
        families = list(text_string_to_metric_families(_read(f"{url}/metrics")))
    except (OSError, HTTPException):
        return {}
    return {family.name: int(sum(sample.value for sample in family.samples)) for family in families}


def _read(url: str) -> str:
    with open_local(url, timeout=2) as response:
        return str(response.read(), "utf-8")
