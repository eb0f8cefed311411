"""The WebSocket as a client meets it: a server process, real sockets, facts that appear in the database."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from websockets.exceptions import ConnectionClosed

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.tests.services import commands
from hyperwatch.tests.services.waiting import wait_until
from realtime.tests import builders
from realtime.tests.builders import OTHER_WALLET, WALLET, stored
from realtime.tests.websocket_client import Client, client
from whales.models import WhaleWatch

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_hub_connections")]

ZERO = "2026-01-10T10:30:00.000000Z"


@pytest.fixture(scope="module")
def server(test_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    """Without a channel layer in common with the tests: every fact comes by way of the heads."""
    folder = tmp_path_factory.mktemp("web")
    with commands.running("serve", folder, DATABASE_URL=test_database_url) as start:
        yield start(STREAM_SYNC_INTERVAL_SECONDS="0.1", WEBSOCKET_ALLOWED_ORIGINS="https://good.example")


@pytest.fixture
def ws(server: AppProcess) -> Iterator[Client]:
    with client(server.ws_url) as connected:
        yield connected


def test_subscription_is_confirmed_then_facts_arrive_in_order(ws: Client) -> None:
    answer = ws.ask(type="subscribe", channels=["liquidations"])
    assert answer == {"type": "subscribed", "channels": ["liquidations"], "message": "Successfully subscribed"}
    for tid in range(5):
        stored(builders.liquidation(raw_data={"tid": tid}))
    ws.wait_for(5)
    assert ws.seqs("liquidations") == [1, 2, 3, 4, 5]


def test_a_frame_is_the_contracts_to_the_letter(ws: Client) -> None:
    ws.subscribe("liquidations")
    stored(builders.liquidation(liquidated_size="123456789.12345678", block_timestamp="2026-01-10T12:30:00.5+02:00"))
    assert ws.wait_for(1)[0] == {
        "type": "liquidation",
        "channel": "liquidations",
        "timestamp": "2026-01-10T10:30:00.500000Z",
        "seq": 1,
        "data": {
            "seq": 1,
            "tx_hash": builders.HASH,
            "block_number": 1,
            "block_timestamp": "2026-01-10T10:30:00.500000Z",
            "user_address": WALLET,
            "coin": "BTC",
            "side": "LONG",
            "liquidated_size": "123456789.12345678",
            "liquidation_price": "45000.50000000",
            "liquidation_value_usd": "22500.25000000",
            "leverage": "10.00",
            "margin": "2250.02500000",
            "liquidator_address": OTHER_WALLET,
        },
    }


def test_each_channel_has_its_frames(ws: Client) -> None:
    WhaleWatch.objects.create(wallet_address=WALLET, alias="Whale")
    ws.subscribe(
        "liquidations", "transactions", "long_short_ratios", "liquidation_map", "whale_activities", coins=["BTC"]
    )
    stored(builders.liquidation(), builders.transaction(), builders.ratio(), builders.liquidation_map())
    types = {(fact["channel"], fact["type"]) for fact in ws.wait_for(6)}
    assert types == {
        ("liquidations", "liquidation"),
        ("transactions", "transaction"),
        ("long_short_ratios", "long_short_ratio"),
        ("liquidation_map", "liquidation_map"),
        ("whale_activities", "whale_activity"),
    }


def test_unsubscribing_ends_it(ws: Client) -> None:
    ws.subscribe("liquidations", "transactions")
    answer = ws.ask(type="unsubscribe", channels=["liquidations"])
    assert answer == {"type": "unsubscribed", "channels": ["liquidations"], "message": "Successfully unsubscribed"}
    stored(builders.liquidation(), builders.transaction())
    ws.wait_for(1)
    assert ws.silent_for(0.5)
    assert [fact["channel"] for fact in ws.facts] == ["transactions"]


def test_a_ping_is_answered(ws: Client) -> None:
    answer = ws.ask(type="ping")
    assert answer["type"] == "pong"
    assert answer["timestamp"].endswith("Z")


def test_params_are_kept_for_each_channel(ws: Client) -> None:
    ws.subscribe("liquidations", coins=["BTC"], filters={"side": "LONG", "min_value_usd": 1000.5})
    ws.subscribe("transactions", coins=["ETH"], tx_types=["ORDER"])
    liquidations = {"coins": ["BTC"], "filters": {"side": "LONG", "min_value_usd": "1000.50000000"}}
    assert ws.ask(type="get_subscriptions") == {
        "type": "subscriptions",
        "channels": ["liquidations", "transactions"],
        "params": liquidations,
        "subscriptions": {"liquidations": liquidations, "transactions": {"coins": ["ETH"], "tx_types": ["ORDER"]}},
    }


def test_subscribing_again_replaces_the_params(ws: Client) -> None:
    ws.subscribe("liquidations", coins=["BTC"])
    ws.subscribe("liquidations", coins=["ETH"])
    stored(builders.liquidation(coin="BTC"), builders.liquidation(coin="ETH"))
    ws.wait_for(1)
    assert ws.silent_for(0.5)
    assert [fact["data"]["coin"] for fact in ws.facts] == ["ETH"]


def test_parameter_of_one_channel_is_ignored_for_others(ws: Client) -> None:
    ws.subscribe("liquidations", "transactions", tx_types=["ORDER"])
    assert ws.ask(type="get_subscriptions")["subscriptions"] == {
        "liquidations": {},
        "transactions": {"tx_types": ["ORDER"]},
    }


def test_hello_tells_where_the_streams_are(ws: Client) -> None:
    stored(builders.liquidation(raw_data={"tid": 1}), builders.liquidation(raw_data={"tid": 2}))
    wait_until(lambda: ws.ask(type="hello")["channels"]["liquidations"]["head"] == 2, "the hub to see both")
    connected = ws.ask(type="hello")
    assert connected["type"] == "connected"
    assert set(connected) == {"type", "client_id", "epoch", "limits", "channels", "places", "server_time"}
    assert set(connected["channels"]) == {
        "liquidations", "long_short_ratios", "liquidation_map", "whale_activities", "transactions",
    }  # fmt: skip
    assert connected["channels"]["liquidations"] == {"head": 2, "floor": 0}


def test_hello_in_url_greets_and_preserves_client_id(server: AppProcess) -> None:
    with client(f"{server.ws_url}?hello=1&client_id=bot-7") as ws:
        assert ws.answer()["client_id"] == "bot-7"


FILTERS: list[tuple[str, dict[str, Any], list[Any], list[str]]] = [
    ("liquidations", {"coins": ["btc"]}, [{"coin": "BTC"}, {"coin": "ETH"}], ["BTC"]),
    ("liquidations", {"coins": ["KPEPE", "@107"]}, [{"coin": "kPEPE"}, {"coin": "@107"}], ["kPEPE", "@107"]),
    ("liquidations", {"filters": {"side": "SHORT"}}, [{"coin": "A"}, {"coin": "B", "side": "SHORT"}], ["B"]),
    (
        "liquidations",
        {"filters": {"min_value_usd": "1000"}},
        [{"coin": "A", "liquidation_value_usd": "999.99999999"}, {"coin": "B", "liquidation_value_usd": "1000"}],
        ["B"],
    ),
    ("transactions", {"user_addresses": [OTHER_WALLET.upper().replace("0X", "0x")]},
     [{"coin": "A"}, {"coin": "B", "user_address": OTHER_WALLET}], ["B"]),
    ("transactions", {"tx_types": ["DEPOSIT"]}, [{"coin": "A"}, {"coin": "B", "tx_type": "DEPOSIT"}], ["B"]),
    ("transactions", {"filters": {"side": "OPEN"}}, [{"coin": "A"}, {"coin": "B", "side": "OPEN"}], ["B"]),
    ("transactions", {"filters": {"min_value_usd": 10}},
     [{"coin": "A", "size": "1", "price": "9.99"}, {"coin": "B", "size": "2", "price": "5"}], ["B"]),
]  # fmt: skip


@pytest.mark.parametrize(("channel", "params", "facts", "wanted"), FILTERS)
def test_a_filter_lets_pass_what_was_asked_for(
    ws: Client, channel: str, params: dict[str, Any], facts: list[dict[str, Any]], wanted: list[str]
) -> None:
    build = {"liquidations": builders.liquidation, "transactions": builders.transaction}[channel]
    ws.subscribe(channel, **params)
    stored(*(build(**fact) for fact in facts))
    ws.wait_for(len(wanted))
    assert ws.silent_for(0.3)
    assert [fact["data"]["coin"] for fact in ws.facts] == wanted


def test_whale_activities_are_filtered_by_whale_and_type(ws: Client) -> None:
    first = WhaleWatch.objects.create(wallet_address=WALLET, alias="first")
    WhaleWatch.objects.create(wallet_address=OTHER_WALLET, alias="second")
    ws.subscribe("whale_activities", whale_ids=[first.id], activity_types=["CLOSE"])
    flip = {"tid": 1, "dir": "Long > Short"}
    stored(*(builders.transaction(user_address=wallet, raw_data=flip) for wallet in (WALLET, OTHER_WALLET)))
    fact = ws.wait_for(1)[0]["data"]
    assert ws.silent_for(0.3)
    assert (fact["alias"], fact["activity_type"], fact["id"]) == ("first", "CLOSE", fact["seq"])
    assert fact["details"] == {"side": "LONG", "price": "45000.50000000", "dir": "Long > Short"}


def test_late_state_is_stored_and_not_sent(ws: Client) -> None:
    ws.subscribe("long_short_ratios")
    for time in ("10:30", "10:20", "10:40"):
        stored(builders.ratio(timestamp=f"2026-01-10T{time}:00Z"))
    ws.wait_for(2)
    assert ws.silent_for(0.5)
    assert ws.seqs("long_short_ratios") == [1, 3]


def test_what_was_newest_before_the_first_client_counts_too(server: AppProcess) -> None:
    stored(builders.ratio(timestamp="2026-01-10T10:30:00Z"))
    with client(server.ws_url) as ws:
        ws.subscribe("long_short_ratios")
        stored(builders.ratio(timestamp="2026-01-10T10:20:00Z"), builders.ratio(timestamp="2026-01-10T10:31:00Z"))
        ws.wait_for(1)
    assert ws.seqs("long_short_ratios") == [3]


def to_liquidations(params: str) -> str:
    return f'{{"type": "subscribe", "channels": ["liquidations"], "params": {params}}}'


BAD_FRAMES: list[tuple[str | bytes, str]] = [
    ("no json", "INVALID_MESSAGE"),
    ("", "INVALID_MESSAGE"),
    ("[1]", "INVALID_MESSAGE"),
    ("7", "INVALID_MESSAGE"),
    ("null", "INVALID_MESSAGE"),
    ("[" * 10_000, "INVALID_MESSAGE"),
    (b"\x00\x01", "INVALID_MESSAGE"),
    ("{}", "INVALID_MESSAGE"),
    ('{"type": 7}', "INVALID_MESSAGE"),
    ('{"type": "dance"}', "INVALID_MESSAGE"),
    ('{"type": "subscribe"}', "INVALID_MESSAGE"),
    ('{"type": "subscribe", "channels": "liquidations"}', "INVALID_MESSAGE"),
    ('{"type": "subscribe", "channels": [7]}', "INVALID_MESSAGE"),
    ('{"type": "subscribe", "channels": []}', "INVALID_MESSAGE"),
    ('{"type": "subscribe", "channels": null}', "INVALID_MESSAGE"),
    ('{"type": "subscribe", "channels": ["x"]}', "INVALID_CHANNEL"),
    ('{"type": "subscribe", "channels": ["liquidations", "position_summaries"]}', "INVALID_CHANNEL"),
    ('{"type": "unsubscribe", "channels": ["x"]}', "INVALID_CHANNEL"),
    ('{"type": "subscribe", "channels": ["liquidation_map"]}', "INVALID_PARAMS"),
    (to_liquidations('[]'), "INVALID_PARAMS"),
    (to_liquidations('7'), "INVALID_PARAMS"),
    (to_liquidations('{"coin": ["BTC"]}'), "INVALID_PARAMS"),
    (to_liquidations('{"coins": "BTC"}'), "INVALID_PARAMS"),
    (to_liquidations('{"coins": []}'), "INVALID_PARAMS"),
    (to_liquidations('{"coins": ["B C"]}'), "INVALID_PARAMS"),
    (to_liquidations('{"whale_ids": [1]}'), "INVALID_PARAMS"),
    (to_liquidations('{"filters": {"side": "OPEN"}}'), "INVALID_PARAMS"),
    (to_liquidations('{"filters": {"x": 1}}'), "INVALID_PARAMS"),
    (to_liquidations('{"filters": {"min_value_usd": "NaN"}}'), "INVALID_PARAMS"),
    (to_liquidations('{"filters": {"min_value_usd": 1e999999999}}'), "INVALID_PARAMS"),
    ('{"type": "subscribe", "channels": ["transactions"], "params": {"user_addresses": ["0x12"]}}', "INVALID_PARAMS"),
    ('{"type": "subscribe", "channels": ["transactions"], "params": {"tx_types": ["SWAP"]}}', "INVALID_PARAMS"),
    ('{"type": "subscribe", "channels": ["whale_activities"], "params": {"whale_ids": ["1"]}}', "INVALID_PARAMS"),
]  # fmt: skip


@pytest.mark.parametrize(("bad", "code"), BAD_FRAMES)
def test_invalid_frame_is_answered_and_subscriptions_continue(ws: Client, bad: str | bytes, code: str) -> None:
    ws.subscribe("liquidations")
    ws.socket.send(bad)
    answer = ws.answer()
    assert (answer["type"], answer["code"]) == ("error", code)
    assert set(answer) == {"type", "code", "message", "timestamp"}
    assert ws.ask(type="get_subscriptions")["channels"] == ["liquidations"]


CHANNELS = "liquidation_map, liquidations, long_short_ratios, transactions, whale_activities"


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ("x", f"Channel 'x' is not supported. The channels are {CHANNELS}"),
        (
            "liqudations",
            f"Channel 'liqudations' is not supported. Did you mean 'liquidations'? The channels are {CHANNELS}",
        ),
    ],
)
def test_unknown_channel_error_lists_the_channels(ws: Client, channel: str, message: str) -> None:
    assert ws.ask(type="subscribe", channels=[channel])["message"] == message


@pytest.mark.parametrize("params", [{"side": "LONG"}, {"tx_types": ["ORDER"]}, {"whale_ids": [1]}, {"coin": "BTC"}])
def test_rejected_params_error_lists_accepted_ones(ws: Client, params: dict[str, Any]) -> None:
    answer = ws.ask(type="subscribe", channels=["liquidations"], params=params)
    accepted = "'liquidations' takes coins, filters.side, filters.min_value_usd, snapshot, since, epoch, batch"
    assert answer["message"].endswith(f"; {accepted}")


def test_null_means_the_same_as_a_missing_field(ws: Client) -> None:
    optional = ("coins", "user_addresses", "tx_types", "whale_ids", "activity_types", "snapshot", "since", "epoch")
    nulls: dict[str, Any] = {**dict.fromkeys((*optional, "batch")), "filters": {"side": None, "min_value_usd": None}}
    for params in (None, nulls, {"filters": None}):
        assert ws.ask(type="subscribe", channels=["liquidations"], params=params)["type"] == "subscribed"
        assert ws.ask(type="get_subscriptions")["subscriptions"] == {"liquidations": {}}
    assert ws.ask(type="ping", channels=None, params=None, token=None)["type"] == "pong"


@pytest.mark.parametrize("path", ["/", "/ws/", "/foo", "/ws%C3%A9"])
def test_wrong_path_closes_with_4404_and_right_path(server: AppProcess, path: str) -> None:
    with client(f"ws://127.0.0.1:{server.port}{path}") as ws, pytest.raises(ConnectionClosed) as closed:
        ws.answer()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
        4404,
        "There is no WebSocket at this path; connect to /ws.",
    )


def test_pong_has_place_of_filtered_subscription(ws: Client) -> None:
    assert ws.ask(type="ping")["channels"] == {}
    ws.subscribe("liquidations", coins=["ETH"])
    ws.subscribe("transactions")
    stored(*(builders.liquidation(raw_data={"tid": tid}) for tid in range(3)))
    stored(builders.liquidation(coin="ETH", raw_data={"tid": 3}))
    ws.wait_for(1)
    stored(*(builders.liquidation(raw_data={"tid": tid}) for tid in range(4, 9)))
    wait_until(lambda: ws.ask(type="ping")["channels"]["liquidations"]["seq"] == 9, "the place behind the others")
    assert ws.seqs("liquidations") == [4]
    assert ws.ask(type="ping")["channels"] == {"liquidations": {"seq": 9}, "transactions": {"seq": 0}}


def test_a_huge_frame_closes_with_1009(ws: Client) -> None:
    ws.socket.send(json.dumps({"type": "ping", "padding": "x" * 70_000}))
    with pytest.raises(ConnectionClosed) as closed:
        ws.answer()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


def test_forbidden_origin_closes_with_4401(server: AppProcess) -> None:
    with client(server.ws_url, origin="https://bad.example") as ws, pytest.raises(ConnectionClosed) as closed:
        ws.answer()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401
    with client(server.ws_url, origin="https://good.example") as ws:
        assert ws.ask(type="ping")["type"] == "pong"


def test_a_database_restored_under_it_sends_the_clients_away(ws: Client) -> None:
    ws.subscribe("liquidations")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE epoch SET value = 'another'")
    with pytest.raises(ConnectionClosed) as closed:
        ws.answer()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
