"""A Redis server of the tests' own."""

import shutil
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from hyperwatch.harness.process import free_port
from hyperwatch.tests.services.process import Process


class RedisServer(Process):
    name = "redis"
    seconds_to_start = 10.0

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        where = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(folder)]
        super().__init__(["redis-server", *where, "--save", "", "--appendonly", "no"], folder)

    @property
    def env(self) -> dict[str, str]:
        """What a process needs in its environment to use this server."""
        return {"REDIS_URL": self.url}

    def ready(self) -> bool:
        try:
            return bool(self.client().ping())
        except RedisError:
            return False

    def client(self) -> Redis:
        return Redis.from_url(self.url, socket_timeout=5.0)

    def flush(self) -> None:
        self.client().flushall()


class GivenRedis(RedisServer):
    """The Redis of REDIS_URL, for machines without a `redis-server`: not ours to break or to empty."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__(folder)
        self.url = url

    def start(self) -> None:
        if not self.ready():
            raise AssertionError(f"the Redis of REDIS_URL does not answer: {self.url}")

    def signal(self, number: object) -> None:
        pytest.skip("only a Redis of the tests' own can be broken: install redis-server")

    def heal(self) -> None:
        self.start()

    def stop(self) -> None:
        pass

    def flush(self) -> None:
        pass


def available() -> bool:
    return shutil.which("redis-server") is not None
