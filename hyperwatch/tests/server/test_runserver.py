"""`manage.py runserver` is the one that speaks WebSocket, not Django's own."""

from pathlib import Path

import pytest

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.redis import RedisServer
from realtime.tests.websocket_client import client


@pytest.mark.redis
def test_it_answers_requests_and_follows_the_stream(
    fresh_database: Database, redis_server: RedisServer, tmp_path: Path
) -> None:
    server = AppProcess("runserver", tmp_path, {**fresh_database.env, **redis_server.env})
    # It knows no setting for its port.
    server.command += [f"127.0.0.1:{server.port}", "--noreload"]
    server.start()
    try:
        with client(server.ws_url) as one:
            assert one.subscribe("liquidations")["type"] == "subscribed"
    finally:
        server.stop()
