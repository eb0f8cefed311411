"""The compared servers: how each is started, and the message each expects for the same events."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, ClassVar

import msgspec

from hyperwatch.bench.data.event_payloads import CHANNEL, EventPayloads, encode_like_channels
from hyperwatch.bench.environment import BenchEnvironment
from hyperwatch.bench.load.framing import wallet_address
from hyperwatch.harness.app_process import AppProcess, manage
from hyperwatch.harness.host import server_cores
from hyperwatch.harness.postgres import Database
from realtime.delivery.channel_layer import group_name
from realtime.protocol.frames import Event, pack, ws_frame

# The channel whose subscriptions name wallets.
WALLET_CHANNEL = "transactions"
# The message of the channel layer, and the bytes that each client must receive for it.
PublishedMessage = tuple[dict[str, Any], bytes]


class ReferenceProcess(AppProcess):
    """Has no `/health`: ready once it responds, whatever the status."""

    def is_ready(self) -> bool:
        return self.health_status() is not None


class BenchServer(ABC):
    """A server type, and its process inside `running`."""

    name: ClassVar[str]
    group: ClassVar[str]
    subscribe: ClassVar[str] = ""
    # In `references`.
    module: ClassVar[str] = ""

    def __init__(self, environment: BenchEnvironment) -> None:
        self._environment = environment
        self.process = self._process()
        self.port, self.url = self.process.port, self.process.url

    @contextmanager
    def running(self) -> Iterator[AppProcess]:
        with self.process:
            self._environment.log(f"{self.name}: process {self.process.pid}")
            yield self.process

    @abstractmethod
    def message(self, payloads: EventPayloads, numbers: Sequence[int]) -> PublishedMessage: ...

    def _process(self) -> AppProcess:
        arguments = ("-m", f"hyperwatch.bench.references.{self.module}")
        return ReferenceProcess(
            self.name, self._environment.folder, self._environment.env, arguments, cores=server_cores()
        )


class HubServer(BenchServer):
    """The server under test: `manage.py serve` with all its middleware."""

    name = "hub"
    group = group_name(CHANNEL)
    subscribe = f'{{"type": "subscribe", "channels": ["{CHANNEL}"]}}'

    def message(self, payloads: EventPayloads, numbers: Sequence[int]) -> PublishedMessage:
        return self._message(CHANNEL, [payloads.event(seq) for seq in numbers])

    def _message(self, channel: str, events: list[Event]) -> PublishedMessage:
        (packed,) = pack(events)
        wire = b"".join(ws_frame(event.frame) for event in events)
        return {"type": "stream.events", "stream": channel, "epoch": self._epoch, "events": packed}, wire

    @cached_property
    def _epoch(self) -> str:
        return str(Database(self._environment.env["DATABASE_URL"]).value("SELECT value FROM epoch"))

    def _process(self) -> AppProcess:
        return AppProcess(self.name, self._environment.folder, self._env(), manage("serve"), cores=server_cores())

    def _env(self) -> dict[str, str]:
        return {
            **self._environment.env,
            # All clients come from one address.
            "WEBSOCKET_MAX_CONNECTIONS_PER_IP": "0",
            "HTTP_MAX_CONNECTIONS_PER_IP": "0",
            "WEBSOCKET_MAX_CONNECTIONS": "100000",
            # Published events are not stored: a comparison with the heads in the database would show a difference.
            "STREAM_SYNC_INTERVAL_SECONDS": "60",
        }


class WalletHubServer(HubServer):
    """The hub with events of a wallet each: one to which no client subscribed, or with `is_subscribed` a client's."""

    name = "hub"
    group = group_name(WALLET_CHANNEL)
    subscribe = f'{{"type": "subscribe", "channels": ["{WALLET_CHANNEL}"]}}'

    def __init__(self, environment: BenchEnvironment, wallets: int) -> None:
        super().__init__(environment)
        self._wallets = wallets
        self.is_subscribed = False

    def message(self, payloads: EventPayloads, numbers: Sequence[int]) -> PublishedMessage:
        return self._message(WALLET_CHANNEL, [self._of_wallet(payloads.event(seq)) for seq in numbers])

    def _env(self) -> dict[str, str]:
        # The load generator answers no pings outside a run.
        return {**super()._env(), "WEBSOCKET_PING_INTERVAL_SECONDS": "3600"}

    def _of_wallet(self, event: Event) -> Event:
        number = event.seq % self._wallets + (0 if self.is_subscribed else self._wallets)
        fact = msgspec.structs.replace(event.fact, address=wallet_address(number))
        return msgspec.structs.replace(event, fact=fact)


class PipelineHubServer(HubServer):
    """The hub behind `consume`: published events are stored, so the heads stay in sync."""

    def _env(self) -> dict[str, str]:
        return {name: value for name, value in super()._env().items() if name != "STREAM_SYNC_INTERVAL_SECONDS"}


class AsyncioServer(BenchServer):
    """The lower bound (asyncio_server.py)."""

    name = "bare"
    module = "asyncio_server"
    group = "bench.bare"

    def message(self, payloads: EventPayloads, numbers: Sequence[int]) -> PublishedMessage:
        wire = b"".join(ws_frame(payloads.event(seq).frame) for seq in numbers)
        return {"type": "bench.send", "wire": wire}, wire


class ChannelsServer(BenchServer):
    """A consumer of Channels without a hub (channels_consumer.py); one event a message."""

    name = "stock"
    module = "channels_consumer"
    group = "bench.stock"

    def message(self, payloads: EventPayloads, numbers: Sequence[int]) -> PublishedMessage:
        (seq,) = numbers
        content = payloads.channels_content(seq)
        return {"type": "bench.send", "content": content}, ws_frame(encode_like_channels(content))


SERVER_TYPES: dict[str, type[BenchServer]] = {kind.name: kind for kind in (HubServer, AsyncioServer, ChannelsServer)}
