"""A client that does not read falls behind alone: it never costs memory without bound nor another client's time."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.tests.services import commands
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests import builders
from realtime.tests.builders import stored
from realtime.tests.websocket_client import Client, client, metric

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("nobody_reads")]

Serve = Callable[..., AppProcess]
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


def rate() -> None:
    for low in range(0, COUNT, STEP):
        times = [f"2026-01-10T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z" for n in range(low, low + STEP)]
        stored(*(builders.ratio(coin=("BTC", "ETH")[n % 2], timestamp=time) for n, time in enumerate(times)))


def closing_code(ws: Client) -> int | None:
    """None where the connection was cut."""
    try:
        while True:
            ws.answer(timeout=10)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


def test_a_client_that_does_not_read_events_is_closed_with_4408_and_the_others_get_everything(
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
        # Told so, and cut off where it took longer than the close's time limit to read that.
        assert closing_code(slow) in (4408, None)
        assert slow.seqs("liquidations") == list(range(1, len(slow.facts) + 1))
        assert len(slow.facts) < COUNT
        with client(server.ws_url) as back:
            back.subscribe("liquidations", since=len(slow.facts))
            back.wait_for(COUNT - len(slow.facts))
            assert back.seqs("liquidations") == list(range(len(slow.facts) + 1, COUNT + 1))


def test_a_subscription_made_anew_while_the_client_is_behind_goes_on_where_it_was(
    test_database_url: str, tmp_path: Path
) -> None:
    """While it is read from the database, and while it waits for room."""
    liquidate()
    env = {"DATABASE_URL": test_database_url, "STREAM_HISTORY_MAX_BYTES": "65536"}
    with commands.running("serve", tmp_path, **env) as start:
        server = start()
        for _ in range(5):
            with client(server.ws_url, max_queue=1) as slow:
                epoch = slow.ask(type="hello")["epoch"]
                slow.subscribe("liquidations", since=0)
                for _ in range(5):
                    slow.subscribe("liquidations", coins=["BTC"])
                    # What begins at a place of the other channel has no place of this one.
                    slow.subscribe("liquidations", "transactions", since={"transactions": 0}, epoch=epoch)
                slow.wait_for(COUNT, timeout=10)
                assert slow.seqs("liquidations") == list(range(1, COUNT + 1))


def test_a_client_that_does_not_read_states_skips_to_the_newest_of_each_coin(server: AppProcess) -> None:
    with client(server.ws_url, max_queue=1) as slow, client(server.ws_url) as quick:
        slow.subscribe("long_short_ratios")
        quick.subscribe("long_short_ratios", coins=["ETH"])
        rate()
        quick.wait_for(1)
        wait_until(lambda: quick.ask(type="hello")["channels"]["long_short_ratios"]["head"] == COUNT, "the head")
        slow.wait_until(lambda: COUNT in slow.seqs("long_short_ratios")[-1:])
        newest = {fact["data"]["coin"]: fact["seq"] for fact in slow.facts}
        seqs = slow.seqs("long_short_ratios")
        assert newest == {"BTC": COUNT - 1, "ETH": COUNT}
        assert seqs == sorted(set(seqs))
        assert len(seqs) < COUNT


def test_a_server_that_ends_says_1001_behind_what_it_has_sent(server: AppProcess) -> None:
    with client(server.ws_url) as ws:
        ws.subscribe("liquidations", snapshot=1)
        ws.snapshot()
        ending = threading.Thread(target=server.stop)
        ending.start()
        assert closing_code(ws) == 1001
        ending.join()


def test_a_connection_has_an_outlet(server: AppProcess) -> None:
    """It hangs on insides of Autobahn and Twisted: a version that changes them is to be noticed here."""
    with client(server.ws_url) as ws:
        ws.subscribe("liquidations")
        assert metric(server, 'hyperwatch_websocket_connections{transport="direct"}') == 1
