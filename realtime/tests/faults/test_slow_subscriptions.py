"""Subscriptions of clients that read slowly."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.tests.services import commands
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests import builders
from realtime.tests.builders import stored
from realtime.tests.server.websocket.test_slow_clients import COUNT, STEP, liquidate
from realtime.tests.websocket_client import client

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_hub_connections")]


@pytest.fixture
def server(test_database_url: str, tmp_path: Path) -> Iterator[AppProcess]:
    env = {
        "DATABASE_URL": test_database_url,
        "STREAM_SYNC_INTERVAL_SECONDS": "0.1",
        "STREAM_HISTORY_MAX_BYTES": str(2**21),
    }
    with commands.running("serve", tmp_path, **env) as start:
        yield start()


def rate() -> None:
    for low in range(0, COUNT, STEP):
        times = [f"2026-01-10T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z" for n in range(low, low + STEP)]
        stored(*(builders.ratio(coin=("BTC", "ETH")[n % 2], timestamp=time) for n, time in enumerate(times)))


def test_renewed_subscription_of_slow_client_continues_in_order(test_database_url: str, tmp_path: Path) -> None:
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


def test_slow_state_client_skips_to_latest_per_coin(server: AppProcess) -> None:
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
