"""The servers that are compared: how each is started, and what is published for the same events."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from hyperwatch.bench.data.event_payloads import CHANNEL, EventPayloads, as_stock_does
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.harness.app_process import AppProcess, manage
from hyperwatch.harness.host import server_cores
from realtime.delivery.channel_layer import group_name
from realtime.protocol.frames import pack, ws_frame

# What is published, and what then must come to each client.
Message = tuple[dict[str, Any], bytes]


class ReferenceProcess(AppProcess):
    """Has no `/health`: ready once it responds, whatever the status."""

    def is_ready(self) -> bool:
        return self.health_status() is not None


class Server(ABC):
    """A kind of server, and its process while it is `running`."""

    name: ClassVar[str]
    group: ClassVar[str]
    subscribe: ClassVar[str] = ""

    def __init__(self, ground: BenchEnvironment) -> None:
        self._ground = ground
        self.process = self._process()
        self.port, self.url = self.process.port, self.process.url

    @contextmanager
    def running(self) -> Iterator[AppProcess]:
        with self.process:
            self._ground.say(f"{self.name}: process {self.process.pid}")
            yield self.process

    @abstractmethod
    def message(self, content: EventPayloads, numbers: Sequence[int]) -> Message: ...

    def _process(self) -> AppProcess:
        arguments = ("-m", f"realtime.bench.{self.name}")
        return ReferenceProcess(self.name, self._ground.folder, self._ground.env, arguments, cores=server_cores())


class HubServer(Server):
    """What is measured: `manage.py serve` as it is, with all its middleware."""

    name = "hub"
    group = group_name(CHANNEL)
    subscribe = f'{{"type": "subscribe", "channels": ["{CHANNEL}"]}}'

    def message(self, content: EventPayloads, numbers: Sequence[int]) -> Message:
        events = [content.event(seq) for seq in numbers]
        (packed,) = pack(events)
        wire = b"".join(ws_frame(event.frame) for event in events)
        return {"type": "stream.events", "stream": CHANNEL, "events": packed}, wire

    def _process(self) -> AppProcess:
        return AppProcess(self.name, self._ground.folder, self._env(), manage("serve"), cores=server_cores())

    def _env(self) -> dict[str, str]:
        return {
            **self._ground.env,
            # All clients come from one address.
            "WEBSOCKET_MAX_CONNECTIONS_PER_IP": "0",
            "HTTP_MAX_CONNECTIONS_PER_IP": "0",
            "WEBSOCKET_CONNECTIONS": "100000",
            # What is published is stored nowhere, so that the database has nothing to say about it.
            "STREAM_SYNC_INTERVAL_SECONDS": "60",
        }


class WholeHub(HubServer):
    """With the whole way before it, so that the database knows what it is told."""

    def _env(self) -> dict[str, str]:
        return {name: value for name, value in super()._env().items() if name != "STREAM_SYNC_INTERVAL_SECONDS"}


class BareServer(Server):
    """The least that could be done (bare.py)."""

    name = "bare"
    group = "bench.bare"

    def message(self, content: EventPayloads, numbers: Sequence[int]) -> Message:
        wire = b"".join(ws_frame(content.event(seq).frame) for seq in numbers)
        return {"type": "tell", "wire": wire}, wire


class StockServer(Server):
    """What one would write without a hub (stock.py). A message is an event: it knows no other."""

    name = "stock"
    group = "bench.stock"

    def message(self, content: EventPayloads, numbers: Sequence[int]) -> Message:
        (seq,) = numbers
        told = content.stock(seq)
        return {"type": "tell", "content": told}, ws_frame(as_stock_does(told))


KINDS: dict[str, type[Server]] = {kind.name: kind for kind in (HubServer, BareServer, StockServer)}
