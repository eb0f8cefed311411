"""A consumer as in the documentation of Channels: `python -m hyperwatch.bench.references.channels_consumer`, on PORT.

One channel of the group and one JSON encoding per client, on unchanged daphne.
"""

import os
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter
from daphne.endpoints import build_endpoint_description_strings
from daphne.server import Server

GROUP = "bench.stock"


class ChannelsConsumer(AsyncJsonWebsocketConsumer):
    groups = [GROUP]

    async def bench_send(self, message: dict[str, Any]) -> None:
        await self.send_json(message["content"])


def main(port: int) -> None:
    application = ProtocolTypeRouter({"websocket": ChannelsConsumer.as_asgi()})
    Server(application, endpoints=build_endpoint_description_strings(host="127.0.0.1", port=port)).run()


if __name__ == "__main__":
    main(int(os.environ["PORT"]))
