"""URL paths of the WebSocket."""

from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.urls import path, re_path

from hyperwatch import metrics
from realtime.consumers import StreamConsumer, server_connection
from realtime.protocol.descriptions import CLOSES
from realtime.protocol.vocabulary import CloseCode


class UnknownPath(AsyncWebsocketConsumer):
    """Accepts and closes with a code and a reason: of a refused handshake, browsers show neither."""

    async def connect(self) -> None:
        await self.accept()
        if (connection := server_connection(self.scope)) is not None:
            connection.discard_input()
        metrics.WEBSOCKET_CLOSED_TOTAL.labels(str(int(CloseCode.UNKNOWN_PATH))).inc()
        await self.close(code=int(CloseCode.UNKNOWN_PATH), reason=CLOSES[CloseCode.UNKNOWN_PATH])


# Django's `path` is typed for views; Channels uses it for applications.
_stream_app: Any = StreamConsumer.as_asgi()
_unknown_path_app: Any = UnknownPath.as_asgi()

websocket_urlpatterns = [path("ws", _stream_app), re_path(r"", _unknown_path_app)]
