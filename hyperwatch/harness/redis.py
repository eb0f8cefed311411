"""Redis for tests, benchmarks and soaks: a new server, or the given one."""

import shutil
from pathlib import Path
from typing import ClassVar

from redis import Redis
from redis.exceptions import RedisError

from hyperwatch.embedded import CannotStartError
from hyperwatch.harness.process import GivenProcess, Process, free_port


class RedisServer(Process):
    """An empty server without persistence."""

    start_timeout_seconds = 10.0
    description: ClassVar[str] = "redis-server of this machine"

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        options = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(folder)]
        super().__init__("redis", ["redis-server", *options, "--save", "", "--appendonly", "no"], folder)

    @property
    def env(self) -> dict[str, str]:
        """Environment of a process that uses this server."""
        return {"REDIS_URL": self.url}

    def is_ready(self) -> bool:
        try:
            return bool(self.client().ping())
        except RedisError:
            return False

    def client(self) -> Redis:
        return Redis.from_url(self.url, socket_timeout=5.0)

    def flush(self) -> None:
        self.client().flushall()


class GivenRedis(GivenProcess, RedisServer):
    """The server of REDIS_URL; its data is never deleted."""

    description = "given"
    own_service_hint = "install redis-server"

    def __init__(self, url: str, folder: Path) -> None:
        RedisServer.__init__(self, folder)
        self.url = url

    def flush(self) -> None:
        pass


def is_installed() -> bool:
    return shutil.which("redis-server") is not None


def redis_server(folder: Path, given_url: str) -> RedisServer:
    """The server of `given_url`, else a new one; raises CannotStartError."""
    if given_url:
        return GivenRedis(given_url, folder)
    if not is_installed():
        raise CannotStartError("redis-server was not found: install it, or set REDIS_URL")
    return RedisServer(folder)
