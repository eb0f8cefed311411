"""A client that does not read falls behind alone: it never costs memory without bound nor another client's time."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.tests.services import commands
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests import builders
from realtime.tests.builders import stored
from realtime.tests.websocket_client import Client, client, metric

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_hub_connections")]

COUNT = 12_000
STEP = 1_000


@pytest.fixture
def server(test_database_url: str, tmp_path: Path) -> Iterator[AppProcess]:
    env = {
        "DATABASE_URL": test_database_url,
        "STREAM_SYNC_INTERVAL_SECONDS": "0.1",
        "STREAM_HISTORY_MAX_BYTES": str(2**21),
    }
    with commands.running("serve", tmp_path, **env) as start:
        yield start()


def liquidate() -> None:
    for low in range(0, COUNT, STEP):
        stored(*(builders.liquidation(raw_data={"tid": tid}) for tid in range(low, low + STEP)))


def closing_code(ws: Client) -> int | None:
    """None where the connection was cut."""
    try:
        while True:
            ws.answer(timeout=10)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


def test_slow_event_client_closes_with_4408_alone(
    server: AppProcess,
) -> None:
    with client(server.ws_url, max_queue=1) as slow, client(server.ws_url) as quick:
        slow.subscribe("liquidations")
        quick.subscribe("liquidations")
        reading = threading.Thread(target=quick.wait_for, args=(COUNT,))
        reading.start()
        liquidate()
        reading.join()
        assert quick.seqs("liquidations") == list(range(1, COUNT + 1))
        wait_until(
            lambda: metric(server, 'hyperwatch_websocket_closed_total{code="4408"}') == 1, "the slow one's close", 10
        )
        # It gets the close code, or is disconnected after the close timeout.
        assert closing_code(slow) in (4408, None)
        assert slow.seqs("liquidations") == list(range(1, len(slow.facts) + 1))
        assert len(slow.facts) < COUNT
        with client(server.ws_url) as back:
            back.subscribe("liquidations", since=len(slow.facts))
            back.wait_for(COUNT - len(slow.facts))
            assert back.seqs("liquidations") == list(range(len(slow.facts) + 1, COUNT + 1))


def test_stopping_server_closes_with_1001_after_sent_frames(server: AppProcess) -> None:
    with client(server.ws_url) as ws:
        ws.subscribe("liquidations", snapshot=1)
        ws.snapshot()
        ending = threading.Thread(target=server.stop)
        ending.start()
        assert closing_code(ws) == 1001
        ending.join()


def test_a_connection_has_an_outlet(server: AppProcess) -> None:
    """It depends on internals of Autobahn and Twisted: this test notices a version that changes them."""
    with client(server.ws_url) as ws:
        ws.subscribe("liquidations")
        assert metric(server, 'hyperwatch_websocket_connections{transport="direct"}') == 1
