"""Daphne's end of an HTTP request, where it falls short: answers wait for slow clients, and broken ones are seen."""

import asyncio
from typing import Any

from daphne.http_protocol import HTTPFactory, WebRequest
from django.conf import settings

from hyperwatch.api.envelope import error_body
from hyperwatch.middleware.security_headers import error_headers
from hyperwatch.server.http_channel import HttpChannel


class Request(WebRequest):  # type: ignore[misc]
    """A request whose answer is written no faster than it is read.

    Daphne hands every piece of a body to Twisted, which keeps what the client does not take: all of it. As the push
    producer of its own answer the request is told when the transport's buffer is full, and when it is empty again.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._room = asyncio.Event()
        self._room.set()

    def process(self) -> Any:
        # Only HTTP/1.1 can be upgraded (RFC 6455, 4.2.1), and daphne passes on every request as one of 1.1.
        if self.clientproto == b"HTTP/1.0":
            self.requestHeaders.removeHeader(b"Upgrade")
        # Daphne takes anybody's word for where our paths begin, and so for where every link of a page leads.
        self.requestHeaders.removeHeader(b"Daphne-Root-Path")
        processing = super().process()
        if self.transport is None and self.channel is not None:
            # It has gone on to a WebSocket; the two would hold each other until a full collection.
            self.channel.leave()
            self.channel.requests.remove(self)
        return processing

    def handleContentChunk(self, data: bytes) -> None:  # noqa: N802 (Twisted's names)
        # A body in chunks does not say how long it will be.
        if self.content.tell() + len(data) > settings.HTTP_MAX_BODY_BYTES:
            self.channel.refuse_body()
        else:
            super().handleContentChunk(data)

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """What daphne says by itself, which is a page, in the envelope of every other error."""
        lines = [(name.encode(), value.encode()) for name, value in error_headers().items()]
        self.handle_reply({"type": "http.response.start", "status": status, "headers": lines})
        self.handle_reply({"type": "http.response.body", "body": error_body(status, body)})

    async def drained(self) -> None:
        """Returns when there is room for more; for a client that has left never, and its answer is cancelled."""
        await self._room.wait()

    def handle_reply(self, message: dict[str, Any]) -> None:
        if message.get("more_body") and not self.producer and self.channel is not None:
            self.registerProducer(self, True)
        super().handle_reply(message)

    def finish(self) -> None:
        if self.producer:
            self.unregisterProducer()
        # Nothing more is to come, and nobody tells of room any more.
        self._room.set()
        super().finish()

    def pauseProducing(self) -> None:  # noqa: N802
        self._room.clear()

    def resumeProducing(self) -> None:  # noqa: N802
        self._room.set()

    def stopProducing(self) -> None:  # noqa: N802
        """The connection is gone: there is never room again."""

    def handle_exception(self, exception: Exception) -> None:
        if self._response_started and not self.finished:
            # Daphne would begin a second answer, and fail. A client that is cut off sees that the first is not whole.
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
