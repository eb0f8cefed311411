"""The ASGI application: HTTP by Django, WebSocket by Channels."""

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hyperwatch.settings")
django.setup(set_prefix=False)

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402 (needs Django's apps)

from hyperwatch.server.asgi_handler import ThreadedHandler  # noqa: E402
from realtime.routing import websocket_urlpatterns  # noqa: E402
from realtime.storage.sequences import VersionReader  # noqa: E402

application = ProtocolTypeRouter(
    {"http": ThreadedHandler(VersionReader()), "websocket": URLRouter(websocket_urlpatterns)}
)
