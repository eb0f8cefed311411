"""Floods of frames that complete no message: parsing them costs the event loop far more than sending them."""

import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import pytest

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.tests.services import commands
from realtime.tests.rawsocket import Opcode, RawSocket, frame, more, opened, text

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_hub_connections")]

say = partial(print, flush=True)

SOCKETS = 50
BYTES_EACH = 420_000
MEASURED_SECONDS = 4.0
FLOODS = {
    "pongs": (b"", frame(Opcode.PONG)),
    "pings": (b"", frame(Opcode.PING)),
    "fragments": (text(b"", fin=False), more(b"x", fin=False)),
    "messages": (b"", text(b"1")),
}


@pytest.fixture
def web(test_database_url: str, tmp_path: Path) -> Iterator[AppProcess]:
    with commands.running("serve", tmp_path, DATABASE_URL=test_database_url) as start:
        yield start()


@pytest.mark.parametrize("kind", FLOODS)
def test_flood_of_frames_closes_and_delays_no_request(web: AppProcess, kind: str) -> None:
    start, repeated = FLOODS[kind]
    flood = start + repeated * (BYTES_EACH // len(repeated))
    codes: list[int | None] = []
    with ExitStack() as stack:
        sockets = [stack.enter_context(opened(web.port)) for _ in range(SOCKETS)]
        threads = [threading.Thread(target=lambda raw=raw: codes.append(close_code(raw, flood))) for raw in sockets]
        for thread in threads:
            thread.start()
        latencies = health_latencies(web)
        for thread in threads:
            thread.join()
    p99 = sorted(latencies)[int(len(latencies) * 0.99)]
    say(f"{kind}: p99 of /health {p99 * 1000:.0f} ms of {len(latencies)} requests")
    assert codes == [4400] * SOCKETS


def close_code(raw: RawSocket, flood: bytes) -> int | None:
    """The code of the close frame; None if the connection ends without one."""
    with suppress(OSError):
        raw.send(flood)
    with suppress(OSError):
        while (received := raw.next()) is not None:
            if received.opcode == Opcode.CLOSE:
                return received.code
    return None


def health_latencies(web: AppProcess) -> list[float]:
    latencies = []
    until = time.monotonic() + MEASURED_SECONDS
    while (begun := time.monotonic()) < until:
        with urllib.request.urlopen(f"{web.url}/health", timeout=120) as answer:  # noqa: S310 (http, ours)
            answer.read()
        latencies.append(time.monotonic() - begun)
        time.sleep(0.01)
    return latencies
