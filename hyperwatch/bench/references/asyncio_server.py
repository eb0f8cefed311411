"""The lower bound of a fan-out server in Python: `python -m hyperwatch.bench.references.asyncio_server`, on PORT.

One channel in the group of the channel layer. Messages contain encoded frames, which are written to every transport.
It has no filters, no back-pressure and no close handshake.
"""

import asyncio
import base64
import hashlib
import os
import re

from realtime.delivery.channel_layer import channel_layer

GROUP = "bench.bare"
WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
UPGRADE_RESPONSE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
)

transports: set[asyncio.Transport] = set()


class FanoutProtocol(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (asyncio's TCP transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.transport in transports:
            # Frames from clients are ignored.
            return
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", data)
        if key is None:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            return
        accept = base64.b64encode(hashlib.sha1(key[1] + WEBSOCKET_GUID, usedforsecurity=False).digest())
        self.transport.write(UPGRADE_RESPONSE % accept)
        transports.add(self.transport)

    def connection_lost(self, error: Exception | None) -> None:
        transports.discard(self.transport)


async def main(port: int) -> None:
    layer = channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(GROUP, channel)
    await asyncio.get_running_loop().create_server(FanoutProtocol, "127.0.0.1", port, backlog=1024)
    while True:
        wire = (await layer.receive(channel))["wire"]
        for transport in transports:
            transport.write(wire)


if __name__ == "__main__":
    asyncio.run(main(int(os.environ["PORT"])))
