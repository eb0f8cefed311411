"""Holds frames to the AsyncAPI document: what it does not tell of may not be there.

By jsonschema_rs: with a validator in pure Python a client of a fast stream falls behind.
"""

from functools import cache
from typing import Any

from jsonschema_rs import Draft7Validator

from realtime.protocol.asyncapi import document

Place = tuple[str, str | None]


def check_sent(frame: dict[str, Any]) -> None:
    """A frame that the server sent; raises AssertionError or jsonschema_rs's ValidationError."""
    channel = frame.get("channel")
    validators = _sent()
    validator = validators.get((frame["type"], channel)) or validators.get((frame["type"], None))
    assert validator is not None, f"the document tells of no {frame['type']!r} on {channel!r}"
    validator.validate(frame)


def check_asked(frame: dict[str, Any]) -> None:
    """A frame that the server took; one channel's params are held to its own schema too."""
    answer = _reported()
    _validator(answer["components"]["messages"][frame["type"]]["payload"]).validate(frame)
    if len(frame["channels"]) == 1:
        _validator(answer["operations"][frame["channels"][0]]["x-params"]).validate(frame["params"])


@cache
def _reported() -> dict[str, Any]:
    answer = document("0", "testserver", is_secure=False)
    return {**answer, "components": _closed(answer["components"])}


@cache
def _sent() -> dict[Place, Draft7Validator]:
    """The messages that the server sends, by type and, where they are one channel's, by channel."""
    answer = _reported()
    messages = [message for key, message in answer["components"]["messages"].items() if key not in _asked(answer)]
    return {_place(answer, message): _validator(message["payload"]) for message in messages}


def _asked(answer: dict[str, Any]) -> set[str]:
    return {name for name, operation in answer["operations"].items() if operation["action"] == "receive"}


def _place(answer: dict[str, Any], message: dict[str, Any]) -> Place:
    schema = answer["components"]["schemas"][message["payload"]["$ref"].rpartition("/")[2]]
    return message["name"], schema["properties"].get("channel", {}).get("const")


def _validator(reference: dict[str, Any]) -> Draft7Validator:
    return Draft7Validator({"allOf": [reference], "components": _reported()["components"]})


def _closed(part: Any) -> Any:
    """The same with no room for fields that it does not name."""
    if isinstance(part, list):
        return [_closed(item) for item in part]
    if not isinstance(part, dict):
        return part
    closed = {name: _closed(item) for name, item in part.items()}
    is_struct = part.get("type") == "object" and "properties" in part
    return {"additionalProperties": False, **closed} if is_struct else closed
