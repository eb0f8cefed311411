"""Many WebSocket clients in one event loop over raw sockets: `python -m hyperwatch.bench.load.websocket_worker`.

Commands are lines of JSON on stdin, with one response each on stdout. `websocket_pool.py` is the other end:

connect      opens `clients` connections to `port` and `path`, at most `max_connecting` at a time. With `subscribe`,
             each sends that text and waits for a response; WALLET in it is replaced by a wallet of each client.
             Returns {"connected", "closed", "seconds"}
expect       starts a run: received bytes are recorded and compared; before the first run they are discarded. With
             `step`, the bytes of a message, it reports {"complete": n} once all clients have the n-th message.
             The first `timed` clients record the time of each read
status       {"frames", "bytes", "crc" of the expected bytes, "clients": their number, "whole": clients that have all
             bytes, "last_at": time of the last read, "mismatched": clients with other bytes,
             "closed": {reason: clients}}
dump         writes the expected bytes and the times to `folder`
pause_reads  stops reading, or resumes with `is_paused` false
disconnect   closes all connections without a close frame
"""

import json
import os
import select
import time
from array import array
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hyperwatch.bench.load.expected_bytes import ExpectedBytes
from hyperwatch.bench.load.framing import CLOSE, WALLET, frames, handshake, wallet_address
from hyperwatch.bench.load.websocket_client import LoadConnection

STDIN, STDOUT = 0, 1
BUFFER_BYTES = 1024 * 1024
# The longest ping or close that can be incomplete behind the expected bytes (RFC 6455, 5.5: 125 bytes of payload).
MAX_CONTROL_FRAME_BYTES = 127


class WebSocketWorker:
    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.clients: dict[int, LoadConnection] = {}
        self.upgrade_request = self.subscribe = b""
        self.closed: Counter[str] = Counter()
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._queued_ports: list[int] = []
        self._connecting: set[int] = set()
        self._is_recording = False
        self._reset(0)

    def run(self) -> None:
        """Returns at the end of stdin."""
        self.epoll.register(STDIN, select.EPOLLIN)
        with open(STDIN, "rb", buffering=0) as commands:
            while True:
                for fd, _ in self.epoll.poll():
                    if (client := self.clients.get(fd)) is not None:
                        client.on_ready()
                    elif fd == STDIN:
                        line = commands.readline()
                        if not line:
                            return
                        self.execute(**json.loads(line))

    def execute(self, command: str, **arguments: Any) -> None:
        match command:
            case "connect":
                self._connect(**arguments)
            case "expect":
                self._expect(**arguments)
            case "status":
                self._status()
            case "dump":
                self._dump(**arguments)
            case "pause_reads":
                self._pause_reads(**arguments)
            case "disconnect":
                self._disconnect()

    # Connections

    def _connect(self, clients: int, port: int, path: str, subscribe: str, max_connecting: int) -> None:
        self.upgrade_request, self.subscribe = handshake(port, path), subscribe.encode()
        self.closed.clear()
        self._started_at = time.monotonic()
        self._queued_ports = [port] * clients
        for _ in range(min(max_connecting, clients)):
            self._connect_next()

    def _connect_next(self) -> None:
        port = self._queued_ports.pop()
        subscribe = self.subscribe.replace(WALLET, wallet_address(len(self._queued_ports)).encode())
        client = LoadConnection(self, port, subscribe)
        self.clients[client.fd] = client
        self._connecting.add(client.fd)
        self.epoll.register(client.fd, select.EPOLLOUT)

    def on_subscribed(self, client: LoadConnection) -> None:
        self._on_connect_finished(client)

    def on_closed(self, client: LoadConnection, reason: str) -> None:
        self.closed[reason] += 1
        self.epoll.unregister(client.fd)
        del self.clients[client.fd]
        self._on_connect_finished(client)

    def _on_connect_finished(self, client: LoadConnection) -> None:
        if client.fd not in self._connecting:
            return
        self._connecting.discard(client.fd)
        if self._queued_ports:
            self._connect_next()
        elif not self._connecting:
            seconds = time.monotonic() - self._started_at
            _send(connected=len(self.clients), closed=dict(self.closed), seconds=seconds)

    def _pause_reads(self, is_paused: bool) -> None:
        for fd in self.clients:
            self.epoll.modify(fd, 0 if is_paused else select.EPOLLIN)
        _send(is_paused=is_paused)

    def _disconnect(self) -> None:
        clients, self.clients = self.clients, {}
        for client in clients.values():
            client.socket.close()
        _send(disconnected=len(clients))

    # A run

    def _reset(self, step: int) -> None:
        self._expected = ExpectedBytes()
        self._step = step
        # By message: the number of clients that have all of it.
        self._receivers: list[int] = []
        self._complete = self._mismatched = 0
        self._last_at = 0.0

    def _expect(self, step: int, timed: int) -> None:
        self._reset(step)
        self._is_recording = True
        for number, client in enumerate(self.clients.values()):
            client.offset, client.rest = 0, b""
            client.times, client.offsets = (array("d"), array("q")) if number < timed else (None, None)
        _send(expecting=step)

    def reader(self, client: LoadConnection) -> Callable[[], None]:
        """The read callback of a subscribed client: the hot loop of a run."""
        receive_into, buffer = client.socket.recv_into, self._buffer

        def read() -> None:
            try:
                size = receive_into(buffer)
            except OSError as error:
                client.close(type(error).__name__)
                return
            if not size:
                client.close("end of file")
            elif self._is_recording:
                self._record(client, buffer[:size])

        return read

    def _record(self, client: LoadConnection, data: memoryview) -> None:
        before = client.offset
        now = time.monotonic()
        if not client.rest and self._expected.matches(before, data):
            client.offset = before + len(data)
        else:
            self._parse(client, bytes(data))
        if client.offset > before:
            self._last_at = now
        if client.times is not None and client.offsets is not None:
            client.times.append(now)
            client.offsets.append(client.offset)
        if self._step:
            self._count(before // self._step, client.offset // self._step)

    def _parse(self, client: LoadConnection, data: bytes) -> None:
        """Handles bytes that are new to all clients, control frames, and mismatches."""
        client.offset, pings, rest = self._expected.consume(client.offset, client.rest + data)
        client.rest = rest
        for ping in pings:
            client.pong(ping)
        if rest and rest[0] & 0xF == CLOSE and (close := list(frames(rest))):
            client.close(str(int.from_bytes(close[0][1][:2])))
        elif len(rest) > MAX_CONTROL_FRAME_BYTES:
            self._mismatched += 1
            client.close("mismatch")

    def _count(self, before: int, after: int) -> None:
        """Counts the messages that this client completed; reports those that all clients have."""
        if after > len(self._receivers):
            self._receivers += [0] * (after - len(self._receivers))
        for message in range(before, after):
            self._receivers[message] += 1
        complete = self._complete
        while complete < len(self._receivers) and self._receivers[complete] >= len(self.clients):
            complete += 1
        if complete > self._complete:
            self._complete = complete
            _send(complete=complete)

    # Results

    def _status(self) -> None:
        offsets = [client.offset for client in self.clients.values()]
        size = len(self._expected)
        _send(
            frames=self._expected.frames,
            bytes=size,
            crc=self._expected.crc,
            clients=len(offsets),
            whole=offsets.count(size),
            last_at=self._last_at,
            mismatched=self._mismatched,
            closed=dict(self.closed),
        )

    def _dump(self, folder: str) -> None:
        Path(folder, "expected").write_bytes(self._expected.bytes)
        timed = [(c.times, c.offsets) for c in self.clients.values() if c.times is not None and c.offsets is not None]
        for number, (times, offsets) in enumerate(timed):
            Path(folder, f"times-{number}").write_bytes(times.tobytes())
            Path(folder, f"offsets-{number}").write_bytes(offsets.tobytes())
        _send(dumped=len(timed))


def _send(**fields: Any) -> None:
    os.write(STDOUT, json.dumps(fields).encode() + b"\n")


if __name__ == "__main__":
    WebSocketWorker().run()
