"""The vocabulary of the WebSocket (websocket.md) on one page: frames in and out, error codes, close codes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any

import msgspec

from hyperwatch.formats import isoformat


class ClientFrame(StrEnum):
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    PING = "ping"
    GET_SUBSCRIPTIONS = "get_subscriptions"
    HELLO = "hello"


class ServerFrame(StrEnum):
    """Besides those of the streams, which each stream names."""

    SUBSCRIBED = "subscribed"
    UNSUBSCRIBED = "unsubscribed"
    PONG = "pong"
    SUBSCRIPTIONS = "subscriptions"
    CONNECTED = "connected"
    ERROR = "error"


class ErrorCode(StrEnum):
    INVALID_MESSAGE = "INVALID_MESSAGE"
    INVALID_CHANNEL = "INVALID_CHANNEL"
    INVALID_PARAMS = "INVALID_PARAMS"
    UNAUTHORIZED = "UNAUTHORIZED"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    RATE_LIMITED = "RATE_LIMITED"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"


class CloseCode(IntEnum):
    GOING_AWAY = 1001
    FRAME_TOO_LARGE = 1009
    TOO_MANY_BAD_FRAMES = 4400
    UNAUTHORISED = 4401
    TOO_SLOW = 4408
    TOO_MANY_CONNECTIONS = 4429


class BadFrame(Exception):
    """What a client sent cannot be; it is told so, and its subscriptions go on."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def frame(kind: ServerFrame, fields: Mapping[str, Any]) -> str:
    return msgspec.json.encode({"type": kind, **fields}).decode()


def now() -> str:
    return isoformat(datetime.now(UTC))


def error_frame(code: ErrorCode, message: str) -> str:
    return frame(ServerFrame.ERROR, {"code": code, "message": message, "timestamp": now()})
