"""Many WebSocket clients in one loop over raw sockets, as a process: `python -m hyperwatch.bench.load.websocket_worker`.

It takes orders as lines of JSON on stdin and answers on stdout (clients.py is the other end):

connect   `clients` of them to `port` and `path`; those who `subscribe` send that text and wait for an answer;
          at most `at_once` are on their way at a time. Answers {"connected", "closed", "seconds"}
expect    a new run: what comes from now on is kept and compared; before the first it is thrown away. With `step`,
          a message's bytes, it says {"complete": n} whenever all clients have the n-th message. The first `timed`
          clients note when they got what
tell      {"frames", "bytes", "crc" of the tape, "clients": how many there are, "whole": how many have all of it,
          "last_at": when the last bytes came, "strange": clients that got something else, "closed": {how: clients}}
keep      writes the tape and the times to `folder`
deaf      from now on nothing is read, or, with `is_deaf` false, again
leave     all connections end, without a word
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
from hyperwatch.bench.load.framing import CLOSE, frames, handshake
from hyperwatch.bench.load.websocket_client import LoadConnection

ORDERS, ANSWERS = 0, 1
BUFFER_BYTES = 1024 * 1024
# The longest that may wait for its end, besides what is on the tape: a ping or a close.
CONTROL_BYTES = 127


class WebSocketWorker:
    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.clients: dict[int, LoadConnection] = {}
        self.greeting = self.subscribe = b""
        self.closed: Counter[str] = Counter()
        self._view = memoryview(bytearray(BUFFER_BYTES))
        self._waiting: list[int] = []
        self._on_the_way: set[int] = set()
        self._is_expecting = False
        self._begin_run(0)

    def run(self) -> None:
        """Until nobody gives orders any more."""
        self.epoll.register(ORDERS, select.EPOLLIN)
        with open(ORDERS, "rb", buffering=0) as orders:
            while True:
                for fd, _ in self.epoll.poll():
                    if (client := self.clients.get(fd)) is not None:
                        client.hear()
                    elif fd == ORDERS:
                        line = orders.readline()
                        if not line:
                            return
                        self.obey(**json.loads(line))

    def obey(self, order: str, **words: Any) -> None:
        match order:
            case "connect":
                self._connect(**words)
            case "expect":
                self._expect(**words)
            case "tell":
                self._tell()
            case "keep":
                self._keep(**words)
            case "deaf":
                self._turn_deaf(**words)
            case "leave":
                self._leave()

    # Coming and going

    def _connect(self, clients: int, port: int, path: str, subscribe: str, at_once: int) -> None:
        self.greeting, self.subscribe = handshake(port, path), subscribe.encode()
        self.closed.clear()
        self._began = time.monotonic()
        self._waiting = [port] * clients
        for _ in range(min(at_once, clients)):
            self._next()

    def _next(self) -> None:
        client = LoadConnection(self, self._waiting.pop())
        self.clients[client.fd] = client
        self._on_the_way.add(client.fd)
        self.epoll.register(client.fd, select.EPOLLOUT)

    def has_come(self, client: LoadConnection) -> None:
        self._has_arrived(client)

    def has_gone(self, client: LoadConnection, how: str) -> None:
        self.closed[how] += 1
        self.epoll.unregister(client.fd)
        del self.clients[client.fd]
        self._has_arrived(client)

    def _has_arrived(self, client: LoadConnection) -> None:
        if client.fd not in self._on_the_way:
            return
        self._on_the_way.discard(client.fd)
        if self._waiting:
            self._next()
        elif not self._on_the_way:
            seconds = time.monotonic() - self._began
            _say(connected=len(self.clients), closed=dict(self.closed), seconds=seconds)

    def _turn_deaf(self, is_deaf: bool) -> None:
        for fd in self.clients:
            self.epoll.modify(fd, 0 if is_deaf else select.EPOLLIN)
        _say(is_deaf=is_deaf)

    def _leave(self) -> None:
        clients, self.clients = self.clients, {}
        for client in clients.values():
            client.socket.close()
        _say(left=len(clients))

    # A run

    def _begin_run(self, step: int) -> None:
        self._tape = ExpectedBytes()
        self._step = step
        self._reached: list[int] = []
        self._complete = self._strange = 0
        self._last_at = 0.0

    def _expect(self, step: int, timed: int) -> None:
        self._begin_run(step)
        self._is_expecting = True
        for number, client in enumerate(self.clients.values()):
            client.at, client.rest = 0, b""
            client.times, client.places = (array("d"), array("q")) if number < timed else (None, None)
        _say(expecting=step)

    def hearing(self, client: LoadConnection) -> Callable[[], None]:
        """What is to be done when there is something to read: this is what a run consists of."""
        receive_into, view = client.socket.recv_into, self._view

        def hear() -> None:
            try:
                size = receive_into(view)
            except OSError as error:
                client.end(type(error).__name__)
                return
            if not size:
                client.end("end of file")
            elif self._is_expecting:
                self._take(client, view[:size])

        return hear

    def _take(self, client: LoadConnection, data: memoryview) -> None:
        before = client.at
        now = time.monotonic()
        if not client.rest and self._tape.goes_on(before, data):
            client.at = before + len(data)
        else:
            self._look_closely(client, bytes(data))
        if client.at > before:
            self._last_at = now
        if client.times is not None and client.places is not None:
            client.times.append(now)
            client.places.append(client.at)
        if self._step:
            self._count(before // self._step, client.at // self._step)

    def _look_closely(self, client: LoadConnection, data: bytes) -> None:
        """What is new to all, or is not what the others got."""
        client.at, pings, rest = self._tape.take(client.at, client.rest + data)
        client.rest = rest
        for ping in pings:
            client.answer(ping)
        if rest and rest[0] & 0xF == CLOSE and (said := list(frames(rest))):
            client.end(str(int.from_bytes(said[0][1][:2])))
        elif len(rest) > CONTROL_BYTES:
            self._strange += 1
            client.end("something strange")

    def _count(self, before: int, after: int) -> None:
        """Messages that this client has got whole; tells of those that all have."""
        if after > len(self._reached):
            self._reached += [0] * (after - len(self._reached))
        for message in range(before, after):
            self._reached[message] += 1
        complete = self._complete
        while complete < len(self._reached) and self._reached[complete] >= len(self.clients):
            complete += 1
        if complete > self._complete:
            self._complete = complete
            _say(complete=complete)

    # Afterwards

    def _tell(self) -> None:
        places = [client.at for client in self.clients.values()]
        size = len(self._tape)
        _say(
            frames=self._tape.frames,
            bytes=size,
            crc=self._tape.crc,
            clients=len(places),
            whole=places.count(size),
            last_at=self._last_at,
            strange=self._strange,
            closed=dict(self.closed),
        )

    def _keep(self, folder: str) -> None:
        Path(folder, "tape").write_bytes(self._tape.bytes)
        timed = [(c.times, c.places) for c in self.clients.values() if c.times is not None and c.places is not None]
        for number, (times, places) in enumerate(timed):
            Path(folder, f"times-{number}").write_bytes(times.tobytes())
            Path(folder, f"places-{number}").write_bytes(places.tobytes())
        _say(kept=len(timed))


def _say(**words: Any) -> None:
    os.write(ANSWERS, json.dumps(words).encode() + b"\n")


if __name__ == "__main__":
    WebSocketWorker().run()
