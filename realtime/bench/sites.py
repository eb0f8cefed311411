"""A web server under measurement: its process, and where it answers."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from django.conf import settings

from hyperwatch.harness.host import server_cores
from hyperwatch.harness.process import Process, free_port
from realtime.bench.ground import Ground

SERVE = (str(settings.BASE_DIR / "manage.py"), "serve")


class Site:
    """`words` are what Python is started with; it takes its port from PORT."""

    def __init__(self, ground: Ground, env: Mapping[str, str], name: str, words: Sequence[str] = SERVE) -> None:
        self.port = free_port()
        env = {**ground.env, **env, "PORT": str(self.port)}
        self.process = Process(name, [sys.executable, *words], ground.folder / f"{name}.log", env, server_cores())

    @contextmanager
    def running(self) -> Iterator[Process]:
        with self.process:
            self.process.wait_for(f"http://127.0.0.1:{self.port}/health")
            yield self.process
