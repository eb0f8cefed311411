"""Input limits of an HTTP connection: size, time, and connections from one address.

Twisted limits the size of the headers, but closes without a response when a line is too long. It accepts a body of any
length, which it writes to disk and daphne reads into memory. Its timeout restarts with each byte. Here each violation
gets a response in the error envelope, and a request must arrive within HTTP_REQUEST_TIMEOUT_SECONDS.
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

# Partly typed, so that mypy rejects subclasses.
http: Any = half_typed_http

# First byte of a TLS record with a ClientHello (RFC 8446, 5.1); no HTTP request begins with it.
TLS_HANDSHAKE = b"\x16"
# Time for a client that is still sending to read the error response.
LINGER_SECONDS = 2.0

_connections_by_address: Counter[str] = Counter()


class HttpChannel(http.HTTPChannel):  # type: ignore[misc]
    """Sequential requests (keep-alive), each received completely and in time, or rejected."""

    _is_rejected = False
    _is_new = True
    # State of the request that is being received.
    _is_receiving = False
    _head_bytes = 0
    _counted_address = ""

    def connectionMade(self) -> None:  # noqa: N802 (Twisted's names)
        # The total size of the headers is limited, not their number.
        self.maxHeaders = self.totalHeadersSize = self.MAX_LENGTH = settings.HTTP_MAX_HEADER_BYTES
        super().connectionMade()
        _set_tcp_user_timeout(self.transport)
        limit = settings.HTTP_MAX_CONNECTIONS_PER_IP
        # Behind proxies the peer is a proxy, which limits its clients itself.
        if limit and not settings.NUM_PROXIES:
            self._counted_address = network_of(getattr(self.transport.getPeer(), "host", ""))
            _connections_by_address[self._counted_address] += 1
            if _connections_by_address[self._counted_address] > limit:
                self.reject(429, f"more than {limit} connections from this address")

    def connectionLost(self, reason: Any) -> None:  # noqa: N802
        self.release_address()
        super().connectionLost(reason)

    def release_address(self) -> None:
        """Stops counting the connection: it was closed or upgraded to a WebSocket."""
        if self._counted_address:
            _connections_by_address[self._counted_address] -= 1
            if not _connections_by_address[self._counted_address]:
                del _connections_by_address[self._counted_address]
            self._counted_address = ""

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        if self._is_new and data.startswith(TLS_HANDSHAKE):
            # Without an end of line it would wait for HTTP_REQUEST_TIMEOUT_SECONDS.
            self.transport.loseConnection()
            return
        self._is_new = False
        if not self._is_rejected:
            super().dataReceived(data)

    def resetTimeout(self) -> None:  # noqa: N802
        # Once for each request: a slow sender (slowloris) would extend the timeout with each byte.
        if not self._is_receiving:
            self._is_receiving = True
            super().resetTimeout()

    def timeoutConnection(self) -> None:  # noqa: N802
        if self._is_receiving:
            self.reject(408, f"the request has not arrived within {settings.HTTP_REQUEST_TIMEOUT_SECONDS} seconds")
        else:
            super().timeoutConnection()

    def lineReceived(self, line: bytes) -> None:  # noqa: N802
        if self._is_rejected:
            return
        is_first, self._head_bytes = self._head_bytes == 0, self._head_bytes + len(line)
        if is_first and len(line) > settings.HTTP_MAX_REQUEST_LINE_BYTES:
            self.reject(414, f"the address is longer than {settings.HTTP_MAX_REQUEST_LINE_BYTES} bytes")
        elif self._head_bytes > settings.HTTP_MAX_HEADER_BYTES:
            self.reject(431, f"the headers are longer than {settings.HTTP_MAX_HEADER_BYTES} bytes")
        else:
            super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:  # noqa: N802
        # The line is incomplete and already longer than the limit.
        self.lineReceived(line)

    def allHeadersReceived(self) -> None:  # noqa: N802
        # Before Twisted sends `100 Continue` (RFC 9110, 10.1.1).
        hosts = self.requests[-1].requestHeaders.getRawHeaders(b"Host", [])
        if (self.length or 0) > settings.HTTP_MAX_BODY_BYTES:
            self.reject_body()
        elif len(hosts) > 1 or (not hosts and self._version == b"HTTP/1.1"):
            # RFC 9112, 3.2
            self.reject(400, "the request must have one Host header")
        else:
            super().allHeadersReceived()

    def rawDataReceived(self, data: bytes) -> None:  # noqa: N802
        if not self._is_rejected:
            super().rawDataReceived(data)

    def allContentReceived(self) -> None:  # noqa: N802
        if not self._is_rejected:
            self._is_receiving, self._head_bytes = False, 0
            super().allContentReceived()

    def reject_body(self) -> None:
        self.reject(413, f"the body is longer than {settings.HTTP_MAX_BODY_BYTES} bytes")

    def _respondToBadRequestAndDisconnect(self) -> None:  # noqa: N802 (Twisted's internal name)
        self.reject(400, "the request is not understood")

    def reject(self, status: int, error: str) -> None:
        """Sends an error response to an incomplete request and closes the connection."""
        if self._is_rejected:
            return
        self._is_rejected = True
        self.setTimeout(None)
        HTTP_REJECTED_REQUESTS_TOTAL.labels(str(status)).inc()
        self.transport.write(_response(status, error_body(status, error)))
        # Closing while the client sends causes a TCP reset, which discards the response (RFC 9112, 9.6).
        self.transport.loseWriteConnection()
        self.callLater(LINGER_SECONDS, self.transport.abortConnection)


def _response(status: int, body: bytes) -> bytes:
    headers = {
        **error_headers(),
        "Content-Length": str(len(body)),
        "Connection": "close",
        **({"Retry-After": "1"} if status == HTTPStatus.TOO_MANY_REQUESTS else {}),
    }
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _set_tcp_user_timeout(transport: Any) -> None:
    """Closes connections without acknowledgements: unread data would occupy memory and a socket (Linux only)."""
    if isinstance(transport, tcp.Connection) and hasattr(socket, "TCP_USER_TIMEOUT"):
        milliseconds = settings.TCP_USER_TIMEOUT_SECONDS * 1000
        transport.getHandle().setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
