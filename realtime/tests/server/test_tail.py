"""`manage.py tail`: what it prints, and what it says where there is nothing to print."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.process import Process, free_port
from hyperwatch.tests.services.environment import ROOT
from hyperwatch.tests.services.waiting import wait_until
from realtime.management.line_format import format_fact
from realtime.tests import builders
from realtime.tests.builders import stored
from realtime.tests.websocket_client import client as plain_client

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_hub_connections")]


def liquidate(low: int, high: int, **overrides: Any) -> None:
    """Liquidations with tids from `low` to `high`, both in."""
    stored(*(builders.liquidation(raw_data={"tid": tid}, **overrides) for tid in range(low, high + 1)))


class Tail(Process):
    """`manage.py tail` as a person runs it, with the default address."""

    def __init__(self, folder: Path, port: int, *arguments: str) -> None:
        command = [sys.executable, str(ROOT / "manage.py"), "tail", *arguments]
        super().__init__("tail", command, folder, {"PORT": str(port), "SERVER_HOST": "::", "PYTHONUNBUFFERED": "1"})


@contextmanager
def tailing(port: int, folder: Path, *arguments: str) -> Iterator[Tail]:
    tail = Tail(folder, port, *arguments)
    tail.start()
    try:
        yield tail
    finally:
        tail.stop()


def test_tail_prints_line_per_event_and_exits_cleanly(server: AppProcess, tmp_path: Path) -> None:
    liquidate(1, 1, coin="ETH")
    stored(builders.ratio())
    follow_to(server, "long_short_ratios", 1)
    arguments = ["liquidations", "long_short_ratios", "--snapshot", "5", "--side", "LONG", "--coin", "BTC,ETH"]
    with tailing(server.port, tmp_path, *arguments) as tail:
        wait_until(lambda: len(tail.output().splitlines()) == 2, "the snapshots")
        liquidate(2, 2, side="SHORT")
        liquidate(3, 3, block_timestamp="2026-01-10T10:31:00.250Z")
        wait_until(lambda: len(tail.output().splitlines()) == 3, "the live line")
        tail.signal(signal.SIGINT)
        assert tail.wait() == 0
    what = f"LONG  0.5 at 45,000.5  22,500.25 USD  {builders.WALLET}"
    assert tail.output().splitlines() == [
        f"2026-01-10 10:30:00  liquidations #1  ETH      {what}",
        "2026-01-10 10:30:00  long_short_ratios #1  BTC      long 0.5124 short 0.4876  178,330.25 USD  accounts 3 to 6",
        f"2026-01-10 10:31:00  liquidations #3  BTC      {what}",
    ]


def test_tail_prints_json_and_tells_of_gaps(server: AppProcess, tmp_path: Path) -> None:
    liquidate(1, 3)
    follow_to(server, "liquidations", 3)
    with tailing(server.port, tmp_path, "liquidations", "--since", "7", "--json") as tail:
        wait_until(lambda: "gap:" in tail.output(), "the gap")
        liquidate(4, 4)
        wait_until(lambda: len(tail.output().splitlines()) == 2, "the line")
        answer = tail.output()
    with tailing(server.port, tmp_path / "again", "liquidations", "--snapshot", "1", "--json") as tail:
        wait_until(lambda: tail.output().endswith("\n"), "the line of a snapshot")
    (again,) = tail.output().splitlines()
    gap, line = answer.splitlines()
    assert json.loads(again) == json.loads(line)
    assert gap == "gap: liquidations 1 to 3 will not be sent"
    event = json.loads(line)
    assert (event["channel"], event["seq"], event["data"]["liquidation_value_usd"]) == (
        "liquidations", 4, "22500.25000000",
    )  # fmt: skip


def follow_to(server: AppProcess, channel: str, head: int) -> None:
    with plain_client(server.ws_url) as ws:
        wait_until(lambda: ws.ask(type="hello")["channels"][channel]["head"] == head, f"head {head}")


def tail_here(*arguments: str) -> None:
    call_command("tail", *arguments)


def test_tail_says_what_is_wrong(server: AppProcess) -> None:
    at = ("--url", server.ws_url)
    for arguments, complaint in {
        ("nothing",): "Channel 'nothing' is not supported",
        ("liquidations", "--min-value-usd", "much"): "min_value_usd",
        ("long_short_ratios", "--side", "LONG"): "none of the channels takes 'side'",
        ("liquidations", "transactions", "--since", "1"): "needs exactly one channel",
    }.items():
        with pytest.raises(CommandError, match=complaint):
            tail_here(*arguments, *at)
    with pytest.raises(CommandError, match="isn't a valid URI"):
        tail_here("liquidations", "--url", "localhost")
    with pytest.raises(CommandError, match=r"connect to /ws\. \(code 4404\)"):
        tail_here("liquidations", "--url", f"{server.ws_url}/elsewhere")


def test_tail_of_unknown_channel_exits_with_error(server: AppProcess, tmp_path: Path) -> None:
    with tailing(server.port, tmp_path, "nothing") as tail:
        assert tail.wait() == 1
    (line,) = tail.output().splitlines()
    assert line.startswith("CommandError: Channel 'nothing' is not supported. The channels are liquidation_map, ")


def test_tail_says_that_it_waits_for_a_server(tmp_path: Path) -> None:
    with tailing(free_port(), tmp_path, "liquidations") as tail:
        wait_until(lambda: "reconnecting" in tail.output(), "the trouble")
        tail.signal(signal.SIGINT)
        assert tail.wait() == 0


def test_tail_into_a_closed_pipe_ends_quietly(server: AppProcess) -> None:
    liquidate(1, 3)
    follow_to(server, "liquidations", 3)
    command = [sys.executable, "manage.py", "tail", "liquidations", "--since", "0", "--url", server.ws_url]
    tail = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert tail.stdout and tail.stderr
    assert b"#1" in tail.stdout.readline()
    tail.stdout.close()
    liquidate(4, 40)
    assert tail.wait(10) == 0
    assert tail.stderr.read() == b""


@pytest.mark.parametrize(
    ("channel", "data", "answer"),
    [
        (
            "transactions",
            {
                "coin": "ETH",
                "side": None,
                "tx_type": "DEPOSIT",
                "size": "1000.00000000",
                "price": None,
                "user_address": "0xa",
            },
            "ETH      -     DEPOSIT 1,000 at -  0xa",
        ),
        (
            "whale_activities",
            {
                "coin": "BTC",
                "activity_type": "OPEN",
                "size": "0.10000000",
                "value_usd": "4500.05000000",
                "alias": "",
                "wallet_address": "0xb",
            },
            "BTC      OPEN 0.1  4,500.05 USD  0xb",
        ),
        ("liquidation_map", {"coin": "BTC", "price_levels": []}, "BTC      0 levels"),
        (
            "liquidation_map",
            {"coin": "BTC", "price_levels": [{"price": "44000.00000000"}, {"price": "46000.50000000"}]},
            "BTC      2 levels from 44,000 to 46,000.5",
        ),
        (
            "of_tomorrow",
            {"seq": 7, "coin": None, "rate": "0.01", "until": None, "deep": {"a": 1}},
            "-        rate=0.01 until=-",
        ),
    ],
)
def test_tail_formats_every_and_unknown_kind(channel: str, data: dict[str, Any], answer: str) -> None:
    assert (
        format_fact(channel, 7, "2026-01-10T10:30:00.123456Z", data) == f"2026-01-10 10:30:00  {channel} #7  {answer}"
    )
