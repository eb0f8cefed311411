"""The AsyncAPI document: valid, complete, and equal to the sent frames (schema_validation.py)."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from django.test import Client

from hyperwatch.formats import encode_time
from realtime.ingest.decoder import decode_batch
from realtime.protocol import descriptions
from realtime.protocol.frames import (
    BatchFrame,
    SnapshotFrame,
    batch_frame,
    gap_frame,
    make_event,
    snapshot_frame,
)
from realtime.protocol.subscriptions import parse_subscriptions, resolve_channels
from realtime.protocol.vocabulary import (
    ClientFrame,
    CloseCode,
    Connected,
    Error,
    ErrorCode,
    Limits,
    Place,
    Pong,
    ServerFrame,
    StreamRange,
    Subscribed,
    Subscriptions,
)
from realtime.streams import Row, channels, get_stream
from realtime.tests import schema_validation
from realtime.tests.builders import NOW, liquidation

# What each object of AsyncAPI 3.0 must have, and what else it may have, as far as ours has them.
OBJECTS: dict[str, tuple[set[str], set[str]]] = {
    "": ({"asyncapi", "info"}, {"servers", "channels", "operations", "components", "defaultContentType"}),
    "info": ({"title", "version"}, {"description"}),
    "servers/*": ({"host", "protocol"}, set()),
    "channels/*": (set(), {"address", "messages", "bindings"}),
    "operations/*": ({"action", "channel"}, {"messages", "reply", "title", "tags"}),
    "components": (set(), {"messages", "schemas"}),
    "components/messages/*": (set(), {"name", "title", "summary", "payload", "examples"}),
}


@pytest.fixture(scope="module")
def reported() -> Any:
    answer = Client().get("/api/asyncapi")
    assert answer["Content-Type"] == "application/json"
    return answer.json()


def at(reported: Any, path: str) -> list[Any]:
    places = [reported]
    for name in filter(None, path.split("/")):
        places = [inner for place in places for inner in (place.values() if name == "*" else [place[name]])]
    return places


@pytest.mark.parametrize("path", OBJECTS)
def test_asyncapi_objects_have_required_and_known_fields(reported: Any, path: str) -> None:
    needed, known = OBJECTS[path]
    for place in at(reported, path):
        names = {name for name in place if not name.startswith("x-")}
        assert needed <= names <= needed | known


def references(part: Any) -> Iterator[str]:
    if isinstance(part, list):
        part = dict(enumerate(part))
    if isinstance(part, dict):
        for name, item in part.items():
            if name == "$ref":
                yield item
            else:
                yield from references(item)


def test_document_is_version_3_and_references_resolve(reported: Any) -> None:
    assert reported["asyncapi"] == "3.0.0"
    for reference in set(references(reported)):
        assert at(reported, reference.removeprefix("#/")), reference


def test_operations_cover_all_messages_of_their_channel(reported: Any) -> None:
    used = set()
    for operation in reported["operations"].values():
        assert operation["action"] in ("send", "receive")
        for part in (operation, operation.get("reply", operation)):
            assert part["channel"] == {"$ref": "#/channels/socket"}
            used |= {message["$ref"] for message in part["messages"]}
    assert used == {f"#/channels/socket/messages/{key}" for key in reported["channels"]["socket"]["messages"]}


def test_every_schema_is_one_and_every_example_is_valid(reported: Any) -> None:
    for schema in reported["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)
    for key, message in reported["components"]["messages"].items():
        assert message["summary"], key
        for example in message["examples"]:
            schema = {"allOf": [message["payload"]], "components": reported["components"]}
            jsonschema_rs.Draft7Validator(schema).validate(example["payload"])


def test_every_word_of_the_protocol_is_told(reported: Any) -> None:
    names = {message["name"] for message in reported["components"]["messages"].values()}
    assert names == {*ClientFrame, *ServerFrame, *(stream.frame_type for stream in channels().values())}
    assert set(reported["x-error-codes"]) == set(ErrorCode)
    assert set(reported["x-close-codes"]) == {str(int(code)) for code in CloseCode}
    assert set(descriptions.REQUESTS) == set(ClientFrame)


def test_the_examples_of_subscribing_are_taken(reported: Any) -> None:
    examples = [example["payload"] for example in reported["components"]["messages"]["subscribe"]["examples"]]
    assert {example["channels"][0] for example in examples} == set(channels())
    for requested in examples:
        schema_validation.check_asked(requested)
        assert parse_subscriptions(
            resolve_channels(requested["channels"]), msgspec.Raw(msgspec.json.encode(requested["params"]))
        )


def test_a_channels_params_are_its_own_with_their_values(reported: Any) -> None:
    schemas = reported["components"]["schemas"]
    assert set(schemas["TransactionParams"]["properties"]) == {
        "coins", "user_addresses", "tx_types", "filters", "snapshot", "since", "epoch", "batch",
    }  # fmt: skip
    assert schemas["TransactionSide"]["enum"] == ["LONG", "SHORT", "OPEN", "CLOSE"]
    assert set(schemas["WhaleActivityFilters"]["properties"]) == {"min_value_usd"}
    assert schemas["LiquidationMapParams"]["required"] == ["coins"]


UNTOLD: list[tuple[dict[str, Any], str]] = [
    ({"type": "dance"}, "no 'dance'"),
    ({"type": "gap", "channel": "x", "missing_from": 1, "missing_to": 2}, "is not one of"),
    ({"type": "pong", "channels": {}, "timestamp": "2026-01-10T10:30:00+00:00"}, "does not match"),
    (
        {"type": "pong", "timestamp": "2026-01-10T10:30:00.000000Z", "channels": {}, "more": 1},
        "'more' was unexpected",
    ),
    ({"type": "pong"}, "is a required property"),
]


@pytest.mark.parametrize(("frame", "why"), UNTOLD)
def test_undocumented_frame_fails_validation(frame: dict[str, Any], why: str) -> None:
    with pytest.raises((AssertionError, jsonschema_rs.ValidationError), match=why):
        schema_validation.check_sent(frame)


@pytest.mark.parametrize("wrong", [{"leverage": 10.0}, {"margin": "1"}, {"side": "UP"}, {"raw_data": {}}, {"seq": 0}])
def test_a_fact_that_is_not_as_told_is_noticed(reported: Any, wrong: dict[str, Any]) -> None:
    frame = reported["components"]["messages"]["liquidation"]["examples"][0]["payload"]
    schema_validation.check_sent(frame)
    with pytest.raises(jsonschema_rs.ValidationError):
        schema_validation.check_sent({**frame, "data": {**frame["data"], **wrong}})


def test_joined_frame_bytes_equal_struct_encoding() -> None:
    rows = [row.with_seq(seq) for seq, row in enumerate(liquidations(3), start=1)]
    events = [make_event(get_stream("liquidations"), row) for row in rows]
    frames = [msgspec.Raw(event.frame) for event in events]
    joined = batch_frame("liquidations", [event.frame for event in events])
    assert joined == msgspec.json.encode(BatchFrame("liquidations", frames))  # type: ignore[arg-type]
    assert snapshot_frame("liquidations", 7, events) == msgspec.json.encode(
        SnapshotFrame("liquidations", 7, rows), enc_hook=encode_time
    )
    for text in (joined, snapshot_frame("liquidations", 7, events), gap_frame("liquidations", 1, 6)):
        schema_validation.check_sent(json.loads(text))


def liquidations(count: int) -> list[Row]:
    batch = decode_batch([liquidation(raw_data={"tid": tid}) for tid in range(count)], NOW)
    return [incoming.row for incoming in batch.rows["liquidations"].values()]


def test_frames_without_facts_have_fields_in_order() -> None:
    time = "2026-01-10T10:30:00.000000Z"
    connected = Connected(
        "bot", "e", Limits(1024, "9/second", 8, 7, 6), {"transactions": StreamRange(5, 2)}, {"transactions": 4}, time
    )
    assert [
        message.text()
        for message in (Pong(time, {"x": Place(7)}), Error(ErrorCode.INVALID_PARAMS, "no", time), connected)
    ] == [
        f'{{"type":"pong","timestamp":"{time}","channels":{{"x":{{"seq":7}}}}}}',
        f'{{"type":"error","code":"INVALID_PARAMS","message":"no","timestamp":"{time}"}}',
        '{"type":"connected","client_id":"bot","epoch":"e","limits":{"frame_bytes":1024,'
        '"frames":"9/second","param_values":8,"snapshot":7,"replay":6},'
        f'"channels":{{"transactions":{{"head":5,"floor":2}}}},"places":{{"transactions":4}},"server_time":"{time}"}}',
    ]
    assert Subscribed(["x"]).text() == '{"type":"subscribed","channels":["x"],"message":"Successfully subscribed"}'
    assert Subscriptions([], {}, {}).text() == '{"type":"subscriptions","channels":[],"params":{},"subscriptions":{}}'


def test_the_page_tells_of_every_frame_channel_and_code() -> None:
    page = Client().get("/docs/ws").content.decode()
    assert "ws://testserver/ws" in page
    for word in (*ClientFrame, *ServerFrame, *channels(), *ErrorCode, *CloseCode):
        assert f"<code>{word}</code>" in page, word
    assert "filters.min_value_usd" in page
    assert 'href="/docs/ws"' in Client().get("/", HTTP_ACCEPT="text/html").content.decode()
