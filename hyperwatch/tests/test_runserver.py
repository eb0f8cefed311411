"""`manage.py runserver` is the one that speaks WebSocket, not Django's own."""

import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from hyperwatch.tests.services.environment import ROOT
from hyperwatch.tests.services.postgres import Database
from hyperwatch.tests.services.process import Process
from hyperwatch.tests.services.redis import RedisServer
from hyperwatch.tests.services.waiting import free_port
from realtime.tests.sockets import client


class RunServer(Process):
    name = "runserver"

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        super().__init__(
            [sys.executable, str(ROOT / "manage.py"), "runserver", self.address, "--noreload"], folder, env
        )

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.address}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@pytest.mark.redis
def test_it_answers_requests_and_follows_the_stream(
    fresh_database: Database, redis_server: RedisServer, tmp_path: Path
) -> None:
    server = RunServer(tmp_path, {**fresh_database.env, **redis_server.env})
    server.start()
    try:
        with client(f"ws://{server.address}/ws") as one:
            assert one.subscribe("liquidations")["type"] == "subscribed"
    finally:
        server.stop()
