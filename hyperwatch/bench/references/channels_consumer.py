"""A reference: `python -m hyperwatch.bench.references.channels_consumer`, on PORT, as the documentation of Channels tells one to do it.

A member of the group for each client, an encoder for each frame and client, on daphne as it comes.
"""

import os
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.routing import ProtocolTypeRouter
from daphne.endpoints import build_endpoint_description_strings
from daphne.server import Server

GROUP = "bench.stock"


class StockConsumer(AsyncJsonWebsocketConsumer):
    groups = [GROUP]

    async def tell(self, message: dict[str, Any]) -> None:
        await self.send_json(message["content"])


def main(port: int) -> None:
    application = ProtocolTypeRouter({"websocket": StockConsumer.as_asgi()})
    Server(application, endpoints=build_endpoint_description_strings(host="127.0.0.1", port=port)).run()


if __name__ == "__main__":
    main(int(os.environ["PORT"]))
