"""The WebSocket's paths. A second dialect (frontend.md) will stand beside the first."""

from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.urls import path, re_path

from realtime.consumers import StreamConsumer


class UnknownPath(AsyncWebsocketConsumer):
    """Refuses the handshake; without it an unknown path is a traceback in the log."""

    async def connect(self) -> None:
        await self.close()


# Django's `path` is typed for views; Channels routes applications by it.
_ws: Any = StreamConsumer.as_asgi()
_nothing: Any = UnknownPath.as_asgi()

websocket_urlpatterns = [path("ws", _ws), re_path(r"", _nothing)]
