"""The incoming side of a WebSocket: its frames are counted, and parsed a few in each turn of the event loop.

Autobahn parses all buffered frames at once: 64 KB of empty pongs are 10,000 frames and 0.2 s. Fifty such clients would
block all others for seconds.
"""

import time
from asyncio import Queue
from collections import deque
from collections.abc import Callable
from typing import Any

from daphne.ws_protocol import WebSocketProtocol
from twisted.internet import reactor as installed_reactor

# Twisted replaces the module by the reactor object at runtime; type checkers see the module.
reactor: Any = installed_reactor

# Messages waiting to be processed; at this number reading from the client is paused.
MAX_QUEUED_MESSAGES = 16
# Steps of Autobahn's parser without a pause; a frame takes two.
MAX_PARSER_STEPS = 10
# Time for the input that was not parsed at once, in one turn of the event loop and for all connections together.
PARSE_SECONDS_PER_TURN = 0.005
# Time for a client whose input is discarded to read the close frame.
DISCARD_SECONDS = 1.0
FIRST_CONTROL_OPCODE = 8
CLOSE_OPCODE = 8


class ParseQueue:
    """Connections with unparsed input. Reading from them is paused meanwhile."""

    def __init__(self) -> None:
        self._waiting: deque[BoundedInput] = deque()
        self._is_scheduled = False

    def add(self, connection: "BoundedInput") -> None:
        self._waiting.append(connection)
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            reactor.callLater(0, self._parse)

    def _parse(self) -> None:
        self._is_scheduled = False
        until = time.monotonic() + PARSE_SECONDS_PER_TURN
        try:
            while self._waiting and time.monotonic() < until:
                self._waiting.popleft().parse_more()
        finally:
            if self._waiting:
                self._schedule()


_parse_queue = ParseQueue()


class BoundedInput(WebSocketProtocol):  # type: ignore[misc]
    """`on_extra_frame` is called for each frame that completes no message: control frames and fragments.

    The application counts those together with the messages, and calls `discard_input` for a client with too many.
    """

    on_extra_frame: Callable[[], None] | None = None
    _abort_timer: Any = None
    _is_queue_full = False
    _is_parse_queued = False
    _is_discarding = False

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 (Autobahn's and Twisted's names)
        if not self._is_discarding:
            super().dataReceived(data)

    def consumeData(self) -> None:  # noqa: N802
        if self.state not in (self.STATE_OPEN, self.STATE_CLOSING):
            super().consumeData()
            return
        if not self._is_parse_queued and self._has_more():
            self.transport.pauseProducing()
            self._queue_parse()

    def parse_more(self) -> None:
        """Continues with buffered input; resumes reading at its end."""
        self._is_parse_queued = False
        if self._has_more():
            self._queue_parse()
        elif not self._is_queue_full:
            self.transport.resumeProducing()

    def onFrameBegin(self) -> None:  # noqa: N802
        super().onFrameBegin()
        frame = self.current_frame
        is_control = frame.opcode >= FIRST_CONTROL_OPCODE
        if frame.opcode != CLOSE_OPCODE and (is_control or not frame.fin):
            self._count_extra_frame()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803
        # Messages received between the close frame and the client's reply are discarded.
        if self.state != self.STATE_OPEN:
            self._count_extra_frame()
            return
        super().onMessage(payload, isBinary)
        if not self._is_queue_full and self._receive_queue().qsize() >= MAX_QUEUED_MESSAGES:
            self._is_queue_full = True
            self.transport.pauseProducing()

    def frame_consumed(self) -> None:
        """Resumes reading once the receive queue is empty; called after each message."""
        if self._is_queue_full and self._receive_queue().empty():
            self._is_queue_full = False
            # Not at once: a protocol violation calls this while a frame is being parsed.
            self._queue_parse()

    def discard_input(self) -> None:
        """Parses nothing more, buffered bytes included; the connection is aborted soon after its close frame."""
        self._is_discarding, self.data = True, b""
        if self.state == self.STATE_CLOSING:
            self._end_discarded()

    def sendCloseFrame(self, *args: Any, **options: Any) -> None:  # noqa: N802
        super().sendCloseFrame(*args, **options)
        if self._is_discarding:
            self._end_discarded()

    def _count_extra_frame(self) -> None:
        if self.on_extra_frame is not None and not self._is_discarding:
            self.on_extra_frame()

    def _has_more(self) -> bool:
        """Parses a few frames; True if more are buffered."""
        for _ in range(MAX_PARSER_STEPS):
            is_stopped = self._is_queue_full or self._is_discarding or self.state == self.STATE_CLOSED
            if is_stopped or not self.processData():
                return False
        return True

    def _queue_parse(self) -> None:
        if not self._is_parse_queued:
            self._is_parse_queued = True
            _parse_queue.add(self)

    def _end_discarded(self) -> None:
        # Closing while the client sends causes a TCP reset, which may discard the close frame. The client's reply is
        # not parsed: the end of our side lets it close.
        self.transport.loseWriteConnection()
        if self._abort_timer is None:
            self._abort_timer = reactor.callLater(DISCARD_SECONDS, self.transport.abortConnection)

    def _receive_queue(self) -> Queue[dict[str, Any]]:
        queue: Queue[dict[str, Any]] = self.application_queue
        return queue
