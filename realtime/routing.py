"""URL paths of the WebSocket."""

from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.urls import path, re_path

from realtime.consumers import StreamConsumer


class UnknownPath(AsyncWebsocketConsumer):
    """Rejects the handshake; without a route, Channels logs a traceback for an unknown path."""

    async def connect(self) -> None:
        await self.close()


# Django's `path` is typed for views; Channels uses it for applications.
_stream_app: Any = StreamConsumer.as_asgi()
_unknown_path_app: Any = UnknownPath.as_asgi()

websocket_urlpatterns = [path("ws", _stream_app), re_path(r"", _unknown_path_app)]
