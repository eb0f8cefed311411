"""The transactions and positions as rest.md documents them."""

import pytest

from hyperwatch.tests.api_client import ask, content, download, get
from realtime.tests.builders import (
    HASH,
    OTHER_WALLET,
    TIME,
    WALLET,
    position,
    position_summary,
    stored,
    transaction,
)

pytestmark = pytest.mark.django_db(transaction=True)

LATER = "2026-01-10T11:00:00.000000Z"


def test_a_transaction_goes_out_as_it_was_stored() -> None:
    raw = {"tid": 5, "px": "45000.50", "deep": [1e30, {"é": None}]}
    stored(transaction(price="123456789.12345678", margin=None, leverage=..., raw_data=raw))
    assert get("/transactions")["items"] == [
        {
            "seq": 1,
            "tx_hash": HASH,
            "block_number": 1,
            "block_timestamp": TIME,
            "user_address": WALLET,
            "coin": "BTC",
            "side": "LONG",
            "size": "0.50000000",
            "price": "123456789.12345678",
            "leverage": None,
            "margin": None,
            "fee": "-1.25000000",
            "tx_type": "ORDER",
            "raw_data": raw,
        }
    ]


def test_hash_returns_first_fill_and_all_fills() -> None:
    stored(transaction(tx_hash="0x" + "e0" * 32))
    stored(*(transaction(raw_data={"tid": tid}, block_timestamp=LATER) for tid in (1, 2, 3)))
    data = get(f"/transactions/{HASH.upper().replace('0X', '0x')}")
    assert data["seq"] == 2
    assert data["tx_hash"] == HASH
    assert [fill["seq"] for fill in data["fills"]] == [2, 3, 4]
    assert data["fills_total"] == 3
    assert data["head"] == 4


def test_hash_with_many_fills_returns_thousand_and_total() -> None:
    stored(*(transaction(raw_data={"tid": tid}) for tid in range(1_001)))
    data = get(f"/transactions/{HASH}")
    assert [fill["seq"] for fill in data["fills"]] == list(range(1, 1_001))
    assert data["fills_total"] == 1_001


def test_unknown_hash_is_404_and_zero_hash_explained() -> None:
    ask(f"/transactions/{HASH}", 404)
    stored(transaction(tx_hash="0x" + "0" * 64))
    answer = ask("/transactions/0x" + "0" * 64, 400)
    assert list(answer["details"]) == ["tx_hash"]
    assert "user_address, coin, start_time and end_time" in answer["error"]


def test_positions_come_from_latest_summary_per_coin() -> None:
    stored(
        position_summary("BTC", TIME, [position(), position(user_address=OTHER_WALLET)]),
        # ETH was summed up last when BTC was summed up before last.
        position_summary("ETH", TIME, [position(side="SHORT", unrealized_pnl="-0.00000001", margin=None)]),
        position_summary("BTC", LATER, [position(size="7", user_address=OTHER_WALLET)]),
    )
    data = get("/positions")
    assert data["as_of"] == {"BTC": LATER, "ETH": TIME}
    assert [(held["coin"], held["size"]) for held in data["positions"]] == [
        ("BTC", "7.00000000"),
        ("ETH", "0.50000000"),
    ]
    assert data["positions"][1] == {
        "user_address": WALLET,
        "coin": "ETH",
        "side": "SHORT",
        "size": "0.50000000",
        "entry_price": "45000.00000000",
        "mark_price": "45100.00000000",
        "leverage": "10.00",
        "margin": None,
        "unrealized_pnl": "-0.00000001",
        "timestamp": TIME,
    }


def test_positions_are_paged_by_coin_and_wallet() -> None:
    wallets = [f"0x{number:040x}" for number in range(25)]
    stored(position_summary("BTC", TIME, [position(user_address=wallet) for wallet in wallets]))
    first, second = get("/positions"), get("/positions?page=2")
    assert [row["user_address"] for row in first["positions"]] == wallets[:20]
    assert [row["user_address"] for row in second["positions"]] == wallets[20:]
    pagination = {"page": 2, "page_size": 20, "total": 25, "total_pages": 2, "total_exact": True}
    assert (second["pagination"], second["as_of"]) == (pagination, {"BTC": TIME})
    assert len(get("/positions?page_size=100")["positions"]) == 25
    assert content(download("/positions")).count("0x") == 25
    assert "past the end" in ask("/positions?page=3", 404)["error"]
    assert ask("/positions?page_size=101", 400)["error"] == "page_size takes a whole number from 1 to 100"
    assert "filters" in ask("/positions?page=501", 400)["error"]


def test_a_summary_without_positions_ends_those_before_it() -> None:
    stored(position_summary("BTC", TIME), position_summary("BTC", LATER, []))
    data = get("/positions")
    assert data["positions"] == []
    assert data["as_of"] == {"BTC": LATER}
