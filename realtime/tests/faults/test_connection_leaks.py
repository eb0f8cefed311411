"""Resources of a server after its clients have disconnected."""

import re
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests.builders import position, position_summary, stored
from realtime.tests.websocket_client import client, metric

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_hub_connections")]

# Seconds after which it holds nothing of a connection any more.
DAPHNE_FORGETS = 2.5


@pytest.fixture
def server(test_database_url: str, tmp_path: Path) -> Iterator[AppProcess]:
    arguments = ["-m", "realtime.tests.gc_helpers", "serve"]
    command = AppProcess("serve", tmp_path, {"DATABASE_URL": test_database_url}, arguments)
    command.start()
    try:
        yield command
    finally:
        command.stop()


def test_who_has_left_is_gone_without_the_collector(server: AppProcess) -> None:
    """The collector runs so rarely for old objects that closed connections would add up."""
    with client(server.ws_url) as staying:
        staying.subscribe("liquidations")
        sessions(server, 2)
        collected(server)
        sessions(server, 20)
        # A request of ours for the metrics leaves some fifty, and a visit left sixty.
        assert collected(server) < 200


def test_complete_response_of_any_size_leaves_no_task(server: AppProcess) -> None:
    """The transport may have been full when the last piece was given to it."""
    sizes = {f"COIN{count}": count for count in range(300, 900, 100)}
    stored(*(position_summary(coin, positions=held(count)) for coin, count in sizes.items()))
    before = metric(server, "hyperwatch_event_loop_tasks")
    for coin, count in sizes.items():
        # CSV has all positions, in one response.
        assert len(fetch(server, f"/api/v1/positions?coin={coin}&format=csv").splitlines()) == count + 1
    wait_until(lambda: metric(server, "hyperwatch_event_loop_tasks") <= before, "the answers' tasks to end", 5)


def held(count: int) -> list[dict[str, Any]]:
    return [position(user_address=f"0x{number:040x}") for number in range(count)]


def fetch(server: AppProcess, path: str) -> bytes:
    with urllib.request.urlopen(f"{server.url}{path}", timeout=20) as answer:  # noqa: S310 (http, ours)
        return bytes(answer.read())


def sessions(server: AppProcess, number: int) -> None:
    """Half of them leave without a word."""
    for count in range(number):
        with client(server.ws_url) as ws:
            ws.subscribe("liquidations")
            if count % 2:
                ws.socket.socket.close()
    wait_until(lambda: metric(server, "hyperwatch_websocket_connections") == 1, "all of them to be gone")


def collected(server: AppProcess) -> int:
    """How many objects the collector finds now that are held by nothing but each other."""
    time.sleep(DAPHNE_FORGETS)
    before = server.output().count("collected")
    server.signal(signal.SIGUSR1)
    wait_until(lambda: server.output().count("collected") > before, "the collector to have told")
    return int(re.findall(r"collected (\d+)", server.output())[-1])
