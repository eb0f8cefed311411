"""Daphne's end of a WebSocket, where it falls short of the contract."""

from daphne.server import WebSocketFactory
from daphne.ws_protocol import WebSocketProtocol

# Autobahn takes only 1000 and 3000 to 4999 from an application; RFC 6455, 7.4.1 lets a server say these too.
SERVER_CODES = {1001, 1009, 1012}


class WebSocket(WebSocketProtocol):  # type: ignore[misc]
    def serverClose(self, code: int | None = None) -> None:  # noqa: N802 (daphne's name)
        if code in SERVER_CODES:
            self.sendCloseFrame(code=code, isReply=False)
        else:
            super().serverClose(code)


def with_our_protocol(factory: WebSocketFactory) -> WebSocketFactory:
    factory.protocol = WebSocket
    # A client that breaks the protocol is told how (1002, 1007, 1009) and not just cut off.
    factory.setProtocolOptions(failByDrop=False)
    return factory
