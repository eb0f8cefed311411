"""HTTP requests for daphne, with response backpressure and visibly incomplete failed responses."""

import asyncio
import re
from typing import Any

from daphne.http_protocol import HTTPFactory, WebRequest
from django.conf import settings

from hyperwatch.api.envelope import error_body
from hyperwatch.middleware.security_headers import error_headers
from hyperwatch.server.http_channel import HttpChannel

# `http://host:port/path?query`: what clients send to a proxy.
ABSOLUTE_FORM = re.compile(rb"https?://([^/?#]+)([^#]*)", re.IGNORECASE)


class Request(WebRequest):  # type: ignore[misc]
    """A request whose response is produced no faster than the client reads it.

    Daphne passes every chunk to Twisted, which buffers without limit what the client does not read. The request
    registers as push producer of its own response: Twisted pauses it while the transport's buffer is full.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._writable = asyncio.Event()
        self._writable.set()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:  # noqa: N802 (Twisted's names)
        # RFC 9112, 3.2.2: the host of an absolute-form target replaces the Host header.
        if absolute := ABSOLUTE_FORM.fullmatch(path):
            self.requestHeaders.setRawHeaders(b"Host", [absolute[1]])
            path = absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]
        super().requestReceived(command, path, version)

    def process(self) -> Any:
        # Only HTTP/1.1 can be upgraded (RFC 6455, 4.2.1), and daphne treats every request as HTTP/1.1.
        if self.clientproto == b"HTTP/1.0":
            self.requestHeaders.removeHeader(b"Upgrade")
        # Daphne takes `root_path` from this header: a client could redirect every link of a page.
        self.requestHeaders.removeHeader(b"Daphne-Root-Path")
        deferred = super().process()
        if self.transport is None and self.channel is not None:
            # Upgraded to a WebSocket: request and channel form a cycle until a full garbage collection.
            self.channel.release_address()
            self.channel.requests.remove(self)
        return deferred

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802
        # A chunked body has no Content-Length.
        if self.content.tell() + len(data) > settings.HTTP_MAX_BODY_BYTES:
            self.channel.reject_body()
        else:
            super().handleContentChunk(data)

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """Daphne's own errors, which are HTML pages, in the error envelope."""
        headers = [(name.encode(), value.encode()) for name, value in error_headers().items()]
        self.handle_reply({"type": "http.response.start", "status": status, "headers": headers})
        self.handle_reply({"type": "http.response.body", "body": error_body(status, body)})

    async def drained(self) -> None:
        """Waits until the transport is writable; after a disconnect it never returns, and the task is cancelled."""
        await self._writable.wait()

    def handle_reply(self, message: dict[str, Any]) -> None:
        if message.get("more_body") and not self.producer and self.channel is not None:
            self.registerProducer(self, True)
        super().handle_reply(message)

    def finish(self) -> None:
        if self.producer:
            self.unregisterProducer()
        # Twisted no longer calls resumeProducing.
        self._writable.set()
        super().finish()

    def pauseProducing(self) -> None:  # noqa: N802
        self._writable.clear()

    def resumeProducing(self) -> None:  # noqa: N802
        self._writable.set()

    def stopProducing(self) -> None:  # noqa: N802
        """The connection is closed and never becomes writable again."""

    def handle_exception(self, exception: Exception) -> None:
        if self._response_started and not self.finished:
            # Daphne would start a second response and fail. After an abort the client sees an incomplete response.
            self.transport.abortConnection()
        else:
            super().handle_exception(exception)


class RequestFactory(HTTPFactory):  # type: ignore[misc]
    protocol = HttpChannel

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self.timeOut = settings.HTTP_REQUEST_TIMEOUT_SECONDS

    def buildProtocol(self, addr: Any) -> Any:  # noqa: N802 (Twisted's names)
        channel = super().buildProtocol(addr)
        channel.requestFactory = Request
        return channel
