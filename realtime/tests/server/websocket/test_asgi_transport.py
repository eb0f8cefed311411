"""A server that has no outlet of its own, stock daphne here, serves the same frames by ASGI's `send`."""

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.tests.services.environment import ROOT
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests import builders
from realtime.tests.builders import stored
from realtime.tests.websocket_client import client, metric

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_hub_connections")]

COUNT = 2_000


class StockDaphne(AppProcess):
    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        super().__init__("serve", folder, {**env, "PYTHONPATH": str(ROOT)})
        where = ["-b", "127.0.0.1", "-p", str(self.port)]
        self.command = [sys.executable, "-m", "daphne", *where, "hyperwatch.asgi:application"]


@pytest.fixture
def stock(test_database_url: str, tmp_path: Path) -> Iterator[StockDaphne]:
    daphne = StockDaphne(tmp_path, {"DATABASE_URL": test_database_url, "STREAM_SYNC_INTERVAL_SECONDS": "0.1"})
    daphne.start()
    yield daphne
    daphne.stop()


def test_frames_arrive_once_in_order_live_and_resumed(stock: StockDaphne) -> None:
    with client(stock.ws_url) as live:
        live.subscribe("liquidations")
        assert metric(stock, 'hyperwatch_websocket_connections{transport="asgi"}') == 1
        storing = threading.Thread(target=liquidate)
        storing.start()
        live.wait_for(COUNT)
        storing.join()
        with client(stock.ws_url) as later:
            later.subscribe("liquidations", since=0)
            later.wait_for(COUNT)
            assert later.raw == live.raw
        assert live.seqs("liquidations") == list(range(1, COUNT + 1))
        assert live.ask(type="ping")["type"] == "pong"
    wait_until(lambda: metric(stock, "hyperwatch_websocket_connections") == 0, "the end of both connections")


def liquidate() -> None:
    try:
        for low in range(0, COUNT, 100):
            stored(*(builders.liquidation(raw_data={"tid": tid}) for tid in range(low, low + 100)))
    finally:
        connection.close()
