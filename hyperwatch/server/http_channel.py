"""Daphne's end of an HTTP connection, where it falls short: what a stranger sends is bounded before it is a request.

Twisted bounds the head of a request, closes without a word where a line is too long, takes a body of any length (on
the disk, and then daphne in memory), and waits for as long as a byte comes now and then. Here each is told what was
wrong, in the envelope of every other error, and a request that does not arrive has an end.
"""

import socket
from collections import Counter
from http import HTTPStatus
from typing import Any

from django.conf import settings
from twisted.internet import tcp
from twisted.web import http as half_typed_http

from hyperwatch.api.envelope import error_body
from hyperwatch.limits.client_address import network_of
from hyperwatch.metrics import HTTP_REJECTED_REQUESTS_TOTAL
from hyperwatch.middleware.security_headers import error_headers

# Half of its types are told, which helps no subclass.
http: Any = half_typed_http

# So long a client that still sends may read why it is refused.
LINGER_SECONDS = 2.0

_by_address: Counter[str] = Counter()


class HttpChannel(http.HTTPChannel):  # type: ignore[misc]
    """One request after another, each of which arrives whole and in time or is refused."""

    _is_refused = False
    # Of the request that arrives.
    _has_begun = False
    _head_bytes = 0
    _counted_for = ""

    def connectionMade(self) -> None:  # noqa: N802 (Twisted's names)
        # Their bytes are counted, whatever their number.
        self.maxHeaders = self.totalHeadersSize = self.MAX_LENGTH = settings.HTTP_MAX_HEADER_BYTES
        super().connectionMade()
        _set_tcp_user_timeout(self.transport)
        most = settings.HTTP_MAX_CONNECTIONS_PER_IP
        # Behind proxies all come from theirs, and they are the ones to count.
        if most and not settings.NUM_PROXIES:
            self._counted_for = network_of(getattr(self.transport.getPeer(), "host", ""))
            _by_address[self._counted_for] += 1
            if _by_address[self._counted_for] > most:
                self.refuse(429, f"more than {most} connections from this address")

    def connectionLost(self, reason: Any) -> None:  # noqa: N802
        self.leave()
        super().connectionLost(reason)

    def leave(self) -> None:
        """It is no connection of HTTP's any more: at its end, or as a WebSocket."""
        if self._counted_for:
            _by_address[self._counted_for] -= 1
            if not _by_address[self._counted_for]:
                del _by_address[self._counted_for]
            self._counted_for = ""

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        if not self._is_refused:
            super().dataReceived(data)

    def resetTimeout(self) -> None:  # noqa: N802
        # Once for a request: a byte now and then would hold it open for ever.
        if not self._has_begun:
            self._has_begun = True
            super().resetTimeout()

    def timeoutConnection(self) -> None:  # noqa: N802
        if self._has_begun:
            self.refuse(408, f"the request has not arrived within {settings.HTTP_REQUEST_TIMEOUT_SECONDS} seconds")
        else:
            super().timeoutConnection()

    def lineReceived(self, line: bytes) -> None:  # noqa: N802
        if self._is_refused:
            return
        is_first, self._head_bytes = self._head_bytes == 0, self._head_bytes + len(line)
        if is_first and len(line) > settings.HTTP_MAX_REQUEST_LINE_BYTES:
            self.refuse(414, f"the address is longer than {settings.HTTP_MAX_REQUEST_LINE_BYTES} bytes")
        elif self._head_bytes > settings.HTTP_MAX_HEADER_BYTES:
            self.refuse(431, f"the headers are longer than {settings.HTTP_MAX_HEADER_BYTES} bytes")
        else:
            super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: N802
        # So far it has no end; it is too long already.
        self.lineReceived(line)

    def allHeadersReceived(self) -> None:  # noqa: N802
        # Before Twisted asks for the body of one who waits to be asked (RFC 9110, 10.1.1).
        if (self.length or 0) > settings.HTTP_MAX_BODY_BYTES:
            self.refuse_body()
        else:
            super().allHeadersReceived()

    def rawDataReceived(self, data: bytes) -> None:  # noqa: N802
        if not self._is_refused:
            super().rawDataReceived(data)

    def allContentReceived(self) -> None:  # noqa: N802
        if not self._is_refused:
            self._has_begun, self._head_bytes = False, 0
            super().allContentReceived()

    def refuse_body(self) -> None:
        self.refuse(413, f"the body is longer than {settings.HTTP_MAX_BODY_BYTES} bytes")

    def _respondToBadRequestAndDisconnect(self) -> None:  # noqa: N802 (an inside; without it there is no envelope)
        self.refuse(400, "the request is not understood")

    def refuse(self, status: int, error: str) -> None:
        """The answer to a request that has not arrived, and the connection's end."""
        if self._is_refused:
            return
        self._is_refused = True
        self.setTimeout(None)
        HTTP_REJECTED_REQUESTS_TOTAL.labels(str(status)).inc()
        self.transport.write(_answer(status, error_body(status, error)))
        # While it sends, a close would be a reset, by which the answer is lost (RFC 9112, 9.6).
        self.transport.loseWriteConnection()
        self.callLater(LINGER_SECONDS, self.transport.abortConnection)


def _answer(status: int, body: bytes) -> bytes:
    told = {
        **error_headers(),
        "Content-Length": str(len(body)),
        "Connection": "close",
        **({"Retry-After": "1"} if status == HTTPStatus.TOO_MANY_REQUESTS else {}),
    }
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in told.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _set_tcp_user_timeout(transport: Any) -> None:
    """One who vanished or does not read holds what it was sent, and its socket; the kernel knows (on Linux)."""
    if isinstance(transport, tcp.Connection) and hasattr(socket, "TCP_USER_TIMEOUT"):
        milliseconds = settings.TCP_USER_TIMEOUT_SECONDS * 1000
        transport.getHandle().setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
