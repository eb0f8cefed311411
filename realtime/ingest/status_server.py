"""The consumer's own /health and /metrics: it has no web server beside it."""

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
    """Serves on SERVER_HOST:`port` meanwhile. A port that is taken is no reason not to consume."""
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
        # Who left before the answer needs none.
        if not isinstance(sys.exception(), ConnectionError):
            log.exception("the status could not be told")


def _handler(status: Callable[[], dict[str, Any]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            answers: dict[str, Callable[[], tuple[str, bytes]]] = {
                "/health": lambda: ("application/json", msgspec.json.encode(status())),
                "/metrics": lambda: (CONTENT_TYPE_LATEST, generate_latest()),
            }
            answer = answers.get(self.path.partition("?")[0])
            kind, body = answer() if answer else ("text/plain", b"here are /health and /metrics\n")
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            pass

    return Handler
