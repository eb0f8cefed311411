"""The start page's script, run by node: what arrives, and the rows that a person sees."""

import json
import subprocess
from typing import Any

import pytest

from hyperwatch.tests.services.environment import ROOT, program
from realtime.tests.builders import WALLET

RUNNER = ROOT / "hyperwatch/tests/server/start_page.js"
SCRIPT = ROOT / "hyperwatch/static/hyperwatch/start.js"


def liquidation(seq: int, time: str = "2026-01-10T10:30:00Z", value: str = "22500.25000000") -> dict[str, Any]:
    return {
        "seq": seq, "block_timestamp": time, "coin": "BTC", "side": "LONG", "liquidation_value_usd": value,
        "liquidation_price": "45000.50000000", "user_address": WALLET,
    }  # fmt: skip


def shown(*live: dict[str, Any], recent: list[dict[str, Any]] | None = None, **answer: Any) -> dict[str, Any]:
    """What the page shows when `recent` is what the API answers and `live` comes by the WebSocket."""
    frames = [{"type": "subscribed"}, *({"type": "liquidation", "data": one} for one in live)]
    answered = {"ok": True, "json": {"data": {"liquidations": recent or []}}, **answer}
    command = [program("node"), str(RUNNER), str(SCRIPT), json.dumps(frames), json.dumps(answered)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    returned: dict[str, Any] = json.loads(ran.stdout)
    return returned


@pytest.mark.node
@pytest.mark.parametrize(
    ("value", "returned"),
    [
        ("0.00500000", "0.00"),
        ("0.01500000", "0.02"),
        ("0.00500001", "0.01"),
        ("0.00499999", "0.00"),
        ("999.99500000", "1,000.00"),
        ("1234567.89123456", "1,234,567.89"),
        ("9007199254740993.12500000", "9,007,199,254,740,993.12"),
    ],
)
def test_amounts_are_rounded_half_even_and_never_cut(value: str, returned: str) -> None:
    assert shown(liquidation(1, value=value))["rows"][0][3] == returned


@pytest.mark.node
def test_start_page_sorts_by_time_then_seq() -> None:
    late = liquidation(9, "2026-01-10T10:29:59Z")
    recent = [liquidation(7, "2026-01-10T10:30:00.500000Z"), liquidation(6), liquidation(5)]
    rows = shown(late, liquidation(8), recent=recent)["rows"]
    assert [row[0] for row in rows] == ["2026-01-10 10:30:00"] * 4 + ["2026-01-10 10:29:59"]
    assert len(rows) == 5
    order = shown(late, *recent, recent=[liquidation(8, value="8.00000000")])["rows"]
    assert [row[3] for row in order].index("8.00") == 1


@pytest.mark.node
def test_start_page_shows_error_of_the_api() -> None:
    returned = shown(ok=False, json={"error": "slow down"})
    assert returned["state"] == "slow down"
    assert "none" not in returned


@pytest.mark.node
def test_start_page_says_none_once_loaded() -> None:
    assert shown()["none"] == "None yet."
