"""What the processes hold while the soak goes on: memory, descriptors, threads, tasks, and PostgreSQL's connections."""

import json
import threading
import time
from contextlib import closing
from http.client import HTTPException
from typing import NamedTuple

import psycopg2  # type: ignore[import-untyped, unused-ignore]
from prometheus_client.parser import text_string_to_metric_families

from hyperwatch.bench.metrics import read
from hyperwatch.soak.processes import Child

SECONDS = 1.0
CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


class Sample(NamedTuple):
    """One look at a process in one of its lives, `age` seconds after its start; `memory` is Rss in bytes.

    `is_quiet`: nobody was connected but who stays, and a consumer had done something before. `tasks` are those on the
    web process's event loop.
    """

    life: int
    age: float
    memory: int
    descriptors: int
    threads: int
    is_quiet: bool
    tasks: int | None


class ResourceSampler:
    """Looks every second from a thread of its own. Quiet is when the web process knows of `staying` clients only."""

    def __init__(self, web: Child, others: list[Child], database_url: str, staying: int) -> None:
        self.web = web
        self._children = [web, *others]
        self._database_url = database_url
        self._staying = staying
        self.samples: dict[str, list[Sample]] = {child.name: [] for child in self._children}
        self.connections: list[int] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def last_life(self, child: Child) -> list[Sample]:
        return [sample for sample in self.samples[child.name] if sample.life == child.lives]

    def _run(self) -> None:
        while not self._stop.wait(SECONDS):
            self._count_connections()
            told = _told(self.web.url)
            is_quiet = told.get("hyperwatch_websocket_connections") == self._staying
            for child in self._children:
                if child is self.web:
                    self._look_at(child, is_quiet, told.get("hyperwatch_event_loop_tasks"))
                else:
                    self._look_at(child, is_quiet and _has_worked(child.url), None)

    def _look_at(self, child: Child, is_quiet: bool, tasks: int | None) -> None:
        """Nothing is noted of a process that ends or starts at this moment."""
        life, age = child.lives, time.monotonic() - child.born
        try:
            looked = Sample(life, age, child.memory()["Rss"], child.descriptors, child.threads, is_quiet, tasks)
        except (OSError, KeyError):
            return
        if life == child.lives:
            self.samples[child.name].append(looked)

    def _count_connections(self) -> None:
        try:
            connecting = closing(psycopg2.connect(self._database_url, connect_timeout=2))
            with connecting as connection, connection.cursor() as cursor:
                cursor.execute(CONNECTIONS)
                self.connections += [number for (number,) in cursor.fetchall()]
        except psycopg2.Error:
            pass


def _has_worked(url: str) -> bool:
    """Whether a consumer has committed: before, it has not all that it works with."""
    try:
        return json.loads(read(f"{url}/health", timeout=2))["last_commit"] is not None
    except (OSError, HTTPException, ValueError):
        return False


def _told(url: str) -> dict[str, int]:
    """What its /metrics say, each summed over its labels; nothing where it does not answer."""
    try:
        families = list(text_string_to_metric_families(read(f"{url}/metrics", timeout=2)))
    except (OSError, HTTPException):
        return {}
    return {family.name: int(sum(sample.value for sample in family.samples)) for family in families}
