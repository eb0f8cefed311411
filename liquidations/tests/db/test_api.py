"""The liquidations and their map as rest.md documents them."""

from datetime import datetime, timedelta

import pytest

from hyperwatch.api import clock
from hyperwatch.tests.api_client import ask, get
from realtime.tests.builders import HASH, NOW, OTHER_WALLET, TIME, WALLET, liquidation, liquidation_map, stored

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_empty_database_answers_an_empty_page() -> None:
    data = get("/liquidations")
    assert data["items"] == []
    assert data["head"] == 0
    assert data["pagination"] == {"page": 1, "page_size": 20, "total": 0, "total_pages": 0, "total_exact": True}


def test_a_liquidation_goes_out_as_it_was_stored() -> None:
    stored(liquidation(liquidation_price="123456789.12345678", liquidated_size="0.00000001", block_number=0))
    data = get("/liquidations")
    assert data["head"] == 1
    assert data["items"] == [
        {
            "seq": 1,
            "tx_hash": HASH,
            "block_number": None,
            "block_timestamp": TIME,
            "user_address": WALLET,
            "coin": "BTC",
            "side": "LONG",
            "liquidated_size": "0.00000001",
            "liquidation_price": "123456789.12345678",
            "liquidation_value_usd": "22500.25000000",
            "leverage": "10.00",
            "margin": "2250.02500000",
            "liquidator_address": OTHER_WALLET,
        }
    ]


def test_recent_liquidations_sort_by_time_then_seq() -> None:
    late, early = "2026-01-10T11:00:00.000000Z", "2026-01-10T09:00:00.000000Z"
    stored(liquidation(block_timestamp=late), liquidation(block_timestamp=early))
    stored(*(liquidation(raw_data={"tid": tid}) for tid in (7, 8)))
    assert [row["seq"] for row in get("/liquidations")["items"]] == [1, 4, 3, 2]
    assert [row["seq"] for row in get("/liquidations/recent")["liquidations"]] == [1, 4, 3, 2]


def test_recent_gives_twenty_where_no_limit_is_given() -> None:
    stored(*(liquidation(raw_data={"tid": tid}) for tid in range(30)))
    data = get("/liquidations/recent")
    assert [row["seq"] for row in data["liquidations"]] == list(range(30, 10, -1))
    assert data["head"] == 30
    assert data["epoch"] == get("/liquidations")["epoch"]


def test_statistics_are_exact_beyond_float_and_28_digits() -> None:
    most = "9999999999999999999999.99999999"
    stored(
        *(liquidation(liquidation_value_usd=most, raw_data={"tid": tid}) for tid in range(3)),
        liquidation(liquidation_value_usd="0.00000001", side="SHORT", coin="kPEPE"),
    )
    data = get("/liquidations/stats")
    assert data.pop("epoch")
    assert data == {
        "total_liquidations": 4,
        "total_liquidation_value_usd": "29999999999999999999999.99999998",
        "long_liquidations": 3,
        "long_liquidation_value_usd": "29999999999999999999999.99999997",
        "short_liquidations": 1,
        "short_liquidation_value_usd": "0.00000001",
        "by_coin": {
            "BTC": {"count": 3, "value_usd": "29999999999999999999999.99999997"},
            "kPEPE": {"count": 1, "value_usd": "0.00000001"},
        },
        "since": TIME,
        "head": 4,
    }


def test_statistics_of_nothing_are_zero_since_never() -> None:
    data = get("/liquidations/stats?coin=NEVER")
    assert data["total_liquidations"] == 0
    assert data["long_liquidation_value_usd"] == "0.00000000"
    assert data["by_coin"] == {}
    assert data["since"] is None


def test_a_map_has_its_age_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    stored(liquidation_map())
    moment = datetime.fromisoformat(TIME) + timedelta(seconds=90.5)
    monkeypatch.setattr(clock, "now", lambda: moment)
    data = get("/liquidation-map?coin=BTC")
    assert data["age_seconds"] == 90.5
    assert data["seq"] == data["head"] == 1
    assert data["price_levels"][1] == {
        "price": "46000.50000000",
        "long_liquidation_value": "1000.00000000",
        "short_liquidation_value": "0.00000000",
        "long_liquidation_count": 1,
        "short_liquidation_count": 0,
    }


def test_map_from_a_fast_clock_is_fresh() -> None:
    assert clock.age_seconds(NOW + timedelta(minutes=1), NOW) == 0


def test_unknown_coin_or_early_time_has_no_map() -> None:
    stored(liquidation_map(coin="BTC"))
    never, misspelt = (ask(f"/liquidation-map?coin={coin}", 404)["error"] for coin in ("NEVER", "btcc"))
    assert never == "no liquidation map of NEVER: a coin without data"
    assert misspelt == "no liquidation map of btcc: a coin without data (did you mean BTC?)"
    ask("/liquidation-map?coin=BTC&timestamp=2026-01-10T10:29:59Z", 404)
