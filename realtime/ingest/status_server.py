"""HTTP server of the consumer process for /health and /metrics."""

import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from django.conf import settings
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

log = logging.getLogger(__name__)


@contextmanager
def serve_status(port: int, status: Callable[[], dict[str, Any]]) -> Iterator[None]:
    """Serves on SERVER_HOST:`port` within the block. An occupied port is logged and does not stop the consumer."""
    try:
        server = _StatusServer((settings.SERVER_HOST, port), _handler(status)) if port else None
    except OSError as error:
        log.warning(
            "no /health and /metrics of this consumer: port %s: %s (set CONSUMER_STATUS_PORT)", port, error.strerror
        )
        server = None
    if server is None:
        yield
        return
    threading.Thread(target=server.serve_forever, name="status", daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


class _StatusServer(ThreadingHTTPServer):
    def handle_error(self, *_request: Any) -> None:
        # The client closed the connection before the response.
        if not isinstance(sys.exception(), ConnectionError):
            log.exception("status request failed")


def _handler(status: Callable[[], dict[str, Any]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            routes: dict[str, Callable[[], tuple[str, bytes]]] = {
                "/health": lambda: ("application/json", msgspec.json.encode(status())),
                "/metrics": lambda: (CONTENT_TYPE_LATEST, generate_latest()),
            }
            route = routes.get(self.path.partition("?")[0])
            kind, body = route() if route else ("text/plain", b"available: /health and /metrics\n")
            self.send_response(200 if route else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            pass

    return Handler
