"""A web server under measurement: its process, and where it answers."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from realtime.bench.ground import Ground
from realtime.bench.machine import server_cores
from realtime.bench.process import Process, free_port

SERVE = ("-m", "hyperwatch", "serve")


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
