"""Start of a subscription: a snapshot, a `since`, or a gap."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.tests.services import commands
from hyperwatch.tests.services.waiting import wait_until
from liquidations.models import Liquidation
from realtime.models import StreamHead
from realtime.storage.retention import prune
from realtime.streams import get_stream
from realtime.tests import builders
from realtime.tests.builders import stored
from realtime.tests.websocket_client import Client, client

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_hub_connections")]

Serve = Callable[..., AppProcess]


@pytest.fixture(scope="module")
def server(test_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppProcess]:
    folder = tmp_path_factory.mktemp("web")
    with commands.running("serve", folder, DATABASE_URL=test_database_url) as start:
        yield start(STREAM_SYNC_INTERVAL_SECONDS="0.1", STREAM_REPLAY_MAX="50", STREAM_HISTORY_MAX_BYTES="65536")


@pytest.fixture
def ws(server: AppProcess) -> Iterator[Client]:
    with client(server.ws_url) as connected:
        yield connected


def liquidate(low: int, high: int, **overrides: Any) -> None:
    """Liquidations with tids from `low` to `high`, both in."""
    stored(*(builders.liquidation(raw_data={"tid": tid}, **overrides) for tid in range(low, high + 1)))


def rate(*coins_and_minutes: tuple[str, int]) -> None:
    stored(
        *(builders.ratio(coin=coin, timestamp=f"2026-01-10T10:{minute:02}:00Z") for coin, minute in coins_and_minutes)
    )


def follow_to(ws: Client, head: int, channel: str = "liquidations") -> None:
    """Waits until the web process has followed a stream to `head`."""
    wait_until(lambda: ws.ask(type="hello")["channels"][channel]["head"] == head, f"head {head}")


def epoch_of(ws: Client) -> str:
    return str(ws.ask(type="hello")["epoch"])


# snapshot


def test_event_snapshot_is_last_matches_then_stream_continues(ws: Client) -> None:
    liquidate(1, 5, coin="BTC")
    liquidate(6, 6, coin="ETH")
    follow_to(ws, 6)
    ws.subscribe("liquidations", snapshot=3, coins=["btc"])
    snapshot = ws.snapshot()
    assert (snapshot["channel"], snapshot["seq"]) == ("liquidations", 6)
    assert [data["seq"] for data in snapshot["data"]] == [3, 4, 5]
    liquidate(7, 8)
    ws.wait_for(2)
    assert ws.seqs("liquidations") == [7, 8]


def test_state_of_coin_stays_in_snapshot_while_rows_remain(ws: Client) -> None:
    rate(("LATE", 2), ("BTC", 5), ("LATE", 1), ("OLD", 0))
    follow_to(ws, 4, "long_short_ratios")
    cutoff = datetime(2026, 1, 10, 10, 3, tzinfo=UTC)
    assert [pruned.rows for pruned in prune(get_stream("long_short_ratios"), cutoff)] == [1]

    def shown() -> list[tuple[str, int]]:
        ws.subscribe("long_short_ratios", snapshot=1)
        return [(data["coin"], data["seq"]) for data in ws.snapshot()["data"]]

    wait_until(lambda: shown() == [("BTC", 2), ("LATE", 3), ("OLD", 4)], "what is left of the coin")


def test_pruned_rows_are_in_no_snapshot(ws: Client) -> None:
    liquidate(1, 3)
    follow_to(ws, 3)
    liquidate(4, 6, block_timestamp="2026-01-10T10:31:00Z")
    follow_to(ws, 6)
    cutoff = datetime(2026, 1, 10, 10, 31, tzinfo=UTC)
    assert [pruned.rows for pruned in prune(get_stream("liquidations"), cutoff)] == [3]
    wait_until(lambda: ws.ask(type="hello")["channels"]["liquidations"]["floor"] == 3, "the floor")
    ws.subscribe("liquidations", snapshot=10)
    assert [data["seq"] for data in ws.snapshot()["data"]] == [4, 5, 6]


def test_a_snapshot_has_the_bytes_of_the_frames_data(ws: Client) -> None:
    ws.subscribe("transactions")
    stored(builders.transaction(raw_data={"z": 1, "a": [1.10, "é"], "tid": 5}))
    ws.wait_for(1)
    ws.subscribe("transactions", snapshot=1)
    ws.snapshot()
    assert ws.raw[0].partition('"data":')[2][:-1] in ws.raw_snapshots[0]


@pytest.mark.parametrize(
    ("params", "wanted"),
    [
        ({"filters": {"side": "SHORT"}}, [2]),
        ({"filters": {"min_value_usd": 500}}, [1, 3]),
        ({"tx_types": ["ORDER"]}, [1, 2]),
        ({"user_addresses": [builders.OTHER_WALLET]}, [3]),
        ({"coins": ["NEVER"]}, []),
    ],
)
def test_a_snapshot_is_filtered_as_the_stream_is(ws: Client, params: dict[str, Any], wanted: list[int]) -> None:
    stored(
        builders.transaction(raw_data={"tid": 1}, size="10", price="50"),
        builders.transaction(raw_data={"tid": 2}, size="10", price="49.99", side="SHORT"),
        builders.transaction(raw_data={"tid": 3}, user_address=builders.OTHER_WALLET, tx_type="DEPOSIT"),
    )
    follow_to(ws, 3, "transactions")
    ws.subscribe("transactions", snapshot=100, **params)
    assert [data["seq"] for data in ws.snapshot()["data"]] == wanted


def test_state_snapshot_is_latest_of_each_coin(ws: Client) -> None:
    rate(("BTC", 1), ("ETH", 2), ("BTC", 3), ("ETH", 1))
    follow_to(ws, 4, "long_short_ratios")
    ws.subscribe("long_short_ratios", snapshot=1)
    snapshot = ws.snapshot()
    assert snapshot["seq"] == 4
    assert [(data["coin"], data["seq"]) for data in snapshot["data"]] == [("ETH", 2), ("BTC", 3)]


def test_snapshot_during_traffic_loses_and_repeats_nothing(server: AppProcess) -> None:
    stop = threading.Event()

    def run() -> None:
        for tid in range(1, 2_000):
            if stop.is_set():
                break
            liquidate(tid, tid)
        connection.close()

    writer = threading.Thread(target=run)
    writer.start()
    try:
        for _ in range(4):
            with client(server.ws_url) as ws:
                ws.subscribe("liquidations", snapshot=20)
                snapshot = ws.snapshot()
                seen = [data["seq"] for data in snapshot["data"]] + [fact["seq"] for fact in ws.wait_for(10)]
                assert seen == list(range(seen[0], seen[0] + len(seen)))
                assert seen[0] == max(1, snapshot["seq"] - 19)
    finally:
        stop.set()
        writer.join()


# since


def test_a_client_that_comes_back_with_since_misses_nothing(server: AppProcess) -> None:
    liquidate(1, 10)
    for since in (0, 4, 9, 10):
        with client(server.ws_url) as ws:
            ws.subscribe("liquidations", since=since, epoch=epoch_of(ws))
            ws.wait_for(10 - since)
            assert ws.silent_for(0.2)
            assert ws.seqs("liquidations") == list(range(since + 1, 11))


def test_what_is_resumed_is_filtered_and_then_live(ws: Client) -> None:
    liquidate(1, 3, coin="ETH")
    liquidate(4, 6, coin="BTC")
    ws.subscribe("liquidations", since=1, coins=["BTC"])
    liquidate(7, 7, coin="BTC")
    ws.wait_for(4)
    assert ws.seqs("liquidations") == [4, 5, 6, 7]


def test_several_channels_resume_each_from_its_place(ws: Client) -> None:
    liquidate(1, 3)
    stored(builders.transaction(), builders.transaction(raw_data={"tid": 2}))
    ws.subscribe("liquidations", "transactions", since={"liquidations": 2, "transactions": 0})
    ws.wait_for(3)
    assert (ws.seqs("liquidations"), ws.seqs("transactions")) == ([3], [1, 2])


def test_states_resume_with_latest_of_changed_coins(ws: Client) -> None:
    rate(("BTC", 1), ("ETH", 1), ("BTC", 2), ("BTC", 3))
    follow_to(ws, 4, "long_short_ratios")
    ws.subscribe("long_short_ratios", since=1)
    ws.wait_for(2)
    assert ws.silent_for(0.2)
    assert ws.seqs("long_short_ratios") == [2, 4]


def test_hello_reports_position_of_each_subscription(ws: Client) -> None:
    ws.subscribe("liquidations", coins=["ETH"])
    liquidate(1, 3, coin="BTC")
    follow_to(ws, 3)
    assert ws.ask(type="hello")["places"] == {"liquidations": 3}
    ws.subscribe("liquidations", coins=["ETH"], since=3)
    liquidate(4, 4, coin="ETH")
    assert [fact["seq"] for fact in ws.wait_for(1)] == [4]


# gap


def gap_of(ws: Client, **params: Any) -> tuple[int, int]:
    ws.subscribe("liquidations", **params)
    gap = ws.answer()
    assert (gap["type"], gap["channel"], set(gap)) == (
        "gap", "liquidations", {"type", "channel", "missing_from", "missing_to"},
    )  # fmt: skip
    return gap["missing_from"], gap["missing_to"]


def test_what_retention_removed_is_a_gap(ws: Client) -> None:
    liquidate(1, 5)
    Liquidation.objects.filter(id__lte=3).delete()
    StreamHead.objects.filter(name="liquidations").update(floor=3)
    wait_until(lambda: ws.ask(type="hello")["channels"]["liquidations"] == {"head": 5, "floor": 3}, "the floor")
    assert gap_of(ws, since=1) == (2, 3)
    ws.wait_for(2)
    assert ws.seqs("liquidations") == [4, 5]


def test_more_than_is_replayed_is_a_gap(ws: Client) -> None:
    liquidate(1, 60)
    follow_to(ws, 60)
    assert gap_of(ws, since=3) == (4, 10)
    ws.wait_for(50)
    assert ws.seqs("liquidations") == list(range(11, 61))


def test_future_seq_and_other_epoch_are_gaps(server: AppProcess) -> None:
    liquidate(1, 3)
    for params in ({"since": 4}, {"since": 2, "epoch": "another"}):
        with client(server.ws_url) as ws:
            follow_to(ws, 3)
            assert gap_of(ws, **params) == (1, 3)
            assert ws.silent_for(0.2)


# batch


def test_simultaneous_frames_are_batched_with_unchanged_bytes(server: AppProcess) -> None:
    with client(server.ws_url) as one_by_one, client(server.ws_url) as batched:
        one_by_one.subscribe("liquidations")
        batched.subscribe("liquidations", batch=True)
        liquidate(1, 7)
        one_by_one.wait_for(7)
        text = str(batched.socket.recv(5))
    assert text == '{"type":"batch","channel":"liquidations","data":[' + ",".join(one_by_one.raw) + "]}"
    assert [frame["seq"] for frame in json.loads(text)["data"]] == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    "params",
    [
        {"snapshot": 0}, {"snapshot": 101}, {"snapshot": "3"}, {"snapshot": True}, {"since": -1}, {"since": "3"},
        {"since": 2**63}, {"since": 1.5}, {"since": {"transactions": 1}}, {"since": {"liquidations": "1"}},
        {"since": 1, "snapshot": 1}, {"batch": "yes"}, {"epoch": 7},
    ],
    ids=str,
)  # fmt: skip
def test_a_start_that_cannot_be_is_refused(ws: Client, params: dict[str, Any]) -> None:
    answer = ws.ask(type="subscribe", channels=["liquidations"], params=params)
    assert (answer["type"], answer["code"]) == ("error", "INVALID_PARAMS")


def test_one_since_for_two_channels_is_refused(ws: Client) -> None:
    answer = ws.ask(type="subscribe", channels=["liquidations", "transactions"], params={"since": 1})
    assert (answer["type"], answer["code"]) == ("error", "INVALID_PARAMS")
