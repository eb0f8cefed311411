"""A WebSocket client for tests, which keeps what it received, and a look at a process's metrics."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests import schema_validation


class Client:
    """Speaks JSON over a socket and keeps the frames of facts in the order in which they came."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.facts: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self.raw_snapshots: list[str] = []

    def ask(self, **frame: Any) -> dict[str, Any]:
        """Sends a frame and returns its answer; stores facts that arrive in between."""
        self.socket.send(json.dumps(frame))
        return self.answer()

    def answer(self, timeout: float = 10) -> dict[str, Any]:
        while True:
            frame = self.receive(timeout)
            if "seq" not in frame or frame["type"] == "snapshot":
                return frame

    def snapshot(self) -> dict[str, Any]:
        frame = self.answer()
        assert frame["type"] == "snapshot", frame
        return frame

    def subscribe(self, *channels: str, **params: Any) -> dict[str, Any]:
        request = {"type": "subscribe", "channels": list(channels), "params": params}
        answer = self.ask(**request)
        assert answer["type"] == "subscribed", answer
        schema_validation.check_asked(request)
        return answer

    def wait_for(self, count: int, timeout: float = 30) -> list[dict[str, Any]]:
        """The facts so far, once there are `count` of them."""
        while len(self.facts) < count:
            self.receive(timeout)
        return self.facts

    def wait_until(self, is_enough: Callable[[], bool], timeout: float = 10) -> None:
        while not is_enough():
            self.receive(timeout)

    def silent_for(self, seconds: float) -> bool:
        """Whether nothing arrives for that many seconds."""
        try:
            self.receive(seconds)
        except TimeoutError:
            return True
        return False

    def seqs(self, channel: str) -> list[int]:
        return [fact["seq"] for fact in self.facts if fact["channel"] == channel]

    def receive(self, timeout: float = 10) -> dict[str, Any]:
        text = self.socket.recv(timeout)
        frame: dict[str, Any] = json.loads(text)
        schema_validation.check_sent(frame)
        if frame["type"] == "snapshot":
            self.raw_snapshots.append(str(text))
        elif "seq" in frame:
            self.facts.append(frame)
            self.raw.append(str(text))
        return frame


@contextmanager
def client(url: str, **options: Any) -> Iterator[Client]:
    # Its own pings would cut off a server that a busy machine makes wait.
    with connect(url, max_size=None, ping_interval=None, **options) as socket:
        yield Client(socket)


@contextmanager
def leaving_nothing(process: AppProcess) -> Iterator[None]:
    """Clients that connect meanwhile leave no descriptor in the process."""
    with client(process.ws_url) as first:
        # Descriptors that stay open from the start do not count.
        first.ask(type="hello")
    wait_until(lambda: metric(process, "hyperwatch_websocket_connections") == 0, "the first client to be gone")
    before = descriptors(process)
    yield
    wait_until(lambda: metric(process, "hyperwatch_websocket_connections") == 0, "every connection to be gone", 15)
    wait_until(lambda: descriptors(process) <= before, "every descriptor to be closed", 15)


def descriptors(process: AppProcess) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def metric(process: AppProcess, name: str) -> int:
    """The sum of a counter over its labels, from `/metrics`."""
    with urllib.request.urlopen(f"{process.url}/metrics", timeout=5) as answer:  # noqa: S310 (http, ours)
        lines = answer.read().decode().splitlines()
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name)))
