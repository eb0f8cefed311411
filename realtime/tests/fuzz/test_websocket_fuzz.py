"""Any bytes of a client get a documented response or a documented close code."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as some

from hyperwatch.harness.app_process import AppProcess
from realtime.tests import builders
from realtime.tests.builders import WALLET, stored
from realtime.tests.mutants import byte_changes, field_changes, values, with_other_bytes, with_other_fields
from realtime.tests.rawsocket import Opcode, frame, opened
from realtime.tests.websocket_client import Client, client

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_hub_connections")]

GENERATED = settings(
    max_examples=30,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    database=None,
)

CHANNELS = ["liquidations", "transactions", "liquidation_map", "whale_activities"]
PARAMS: list[dict[str, Any]] = [
    {},
    {"coins": ["BTC", "eth"], "filters": {"side": "LONG", "min_value_usd": "10.5"}, "batch": True},
    {"user_addresses": [WALLET], "tx_types": ["ORDER"], "snapshot": 10},
    {"whale_ids": [1], "activity_types": ["OPEN"], "since": 1, "epoch": "x"},
    {"since": {"liquidations": 0, "transactions": 1}},
]
frames = some.one_of(
    some.builds(
        lambda channels, params: {"type": "subscribe", "channels": channels, "params": params},
        some.lists(some.sampled_from(CHANNELS), max_size=3),
        some.sampled_from(PARAMS),
    ),
    some.sampled_from(["unsubscribe", "ping", "get_subscriptions", "hello"]).map(
        lambda kind: {"type": kind, "channels": ["liquidations"]}
    ),
).map(lambda value: json.dumps(value).encode())
mutants = some.builds(with_other_fields, frames, some.lists(field_changes, max_size=2))
texts = some.one_of(
    mutants,
    some.builds(with_other_bytes, mutants, some.lists(byte_changes, max_size=3)),
    values.map(lambda value: json.dumps(value).encode()),
)


def message(raw: bytes) -> str | bytes:
    """A text where it is one, else binary."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


@GENERATED
@given(some.lists(texts | some.binary(max_size=100), min_size=10, max_size=25))
def test_every_frame_is_answered_and_the_connection_stays(server: AppProcess, sent: list[bytes]) -> None:
    stored(builders.liquidation(), builders.transaction(), builders.ratio())
    with client(server.ws_url) as ws:
        for raw in sent:
            ws.socket.send(message(raw))
        answers = [answered(ws) for _ in sent]
        assert ws.ask(type="ping")["type"] == "pong"
    assert set(answers) <= {"error", "subscribed", "unsubscribed", "pong", "subscriptions", "connected"}
    assert server.unexpected_traceback() == ""


def answered(ws: Client) -> str:
    """The type of the next answer; what a subscription begins with is none. `receive` holds each to the document."""
    while (kind := str(ws.answer()["type"])) in ("snapshot", "gap", "batch"):
        pass
    return kind


# RFC 6455's own, and ours.
MAY_SAY = {1000, 1001, 1002, 1007, 1009, 4400, 4401, 4408, 4429}

raw_frames = some.builds(
    lambda opcode, payload, fin, rsv, mask, short: frame(
        opcode, payload, fin=fin, rsv=rsv, mask=mask, length=max(len(payload) - short, 0)
    ),
    some.integers(0, 15) | some.sampled_from([Opcode.TEXT, Opcode.CONTINUATION, Opcode.PING]),
    some.binary(max_size=40) | some.just(b'{"type": "ping"}'),
    some.booleans() | some.just(True),
    some.just(0) | some.just(0) | some.integers(0, 7),
    some.binary(min_size=4, max_size=4) | some.none(),
    some.just(0) | some.integers(-3, 3),
)


@GENERATED
@given(some.lists(raw_frames | some.binary(max_size=30), max_size=8))
def test_mutated_bytes_end_with_documented_close_code(server: AppProcess, sent: list[bytes]) -> None:
    with client(server.ws_url) as neighbour:
        with opened(server.port) as raw:
            # A disconnected client cannot continue.
            with suppress(ConnectionError):
                raw.send(*sent)
                raw.finish()
            codes = said_at_the_end(raw)
        assert codes <= MAY_SAY | {None}, codes
        assert neighbour.ask(type="ping")["type"] == "pong"
    assert server.unexpected_traceback() == ""


def said_at_the_end(raw: Any) -> set[int | None]:
    codes = set()
    with suppress(ConnectionError):
        while found := raw.next():
            if found.opcode == Opcode.CLOSE:
                codes.add(found.code)
    return codes
