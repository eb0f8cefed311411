"""What each filter of the liquidations finds, and what it refuses."""

from typing import Any

import pytest

from hyperwatch.tests.api_client import Finds, ask, check, check_refused, get
from liquidations.filters import LiquidationFilter, MapFilter, RecentFilter, StatsFilter
from realtime.tests.builders import OTHER_WALLET, level, liquidation, liquidation_map, stored

NINE, TEN, ELEVEN = (f"2026-01-10T{hour}:00:00.000000Z" for hour in ("09", "10", "11"))

LIST = [
    Finds(LiquidationFilter, "coin", "/liquidations?coin=btc", [100]),
    Finds(LiquidationFilter, "coin", "/liquidations?coin=BTC,KPEPE", [300, 100]),
    Finds(LiquidationFilter, "coin", "/liquidations?coin=NEVER", []),
    Finds(LiquidationFilter, "side", "/liquidations?side=SHORT", [200]),
    Finds(LiquidationFilter, "user_address", f"/liquidations?user_address={OTHER_WALLET}", [200]),
    Finds(LiquidationFilter, "user_address", f"/liquidations?user_address=0x{OTHER_WALLET[2:].upper()}", [200]),
    Finds(LiquidationFilter, "min_value_usd", "/liquidations?min_value_usd=200", [300, 200]),
    Finds(LiquidationFilter, "min_value_usd", "/liquidations?min_value_usd=200.00000001", [300]),
    Finds(LiquidationFilter, "max_value_usd", "/liquidations?max_value_usd=200", [200, 100]),
    Finds(LiquidationFilter, "start_time", f"/liquidations?start_time={TEN}", [300, 200]),
    Finds(LiquidationFilter, "start_time", "/liquidations?start_time=2026-01-10T12:00:00%2B02:00", [300, 200]),
    Finds(LiquidationFilter, "start_time", "/liquidations?start_time=2026-01-10T12:00:00+02:00", [300, 200]),
    Finds(LiquidationFilter, "start_time", "/liquidations?start_time=2026-01-10T10:00:00.000001", [300]),
    Finds(LiquidationFilter, "start_time", "/liquidations?start_time=2026-01-11", []),
    Finds(LiquidationFilter, "end_time", f"/liquidations?end_time={TEN}", [100]),
    Finds(LiquidationFilter, "end_time", f"/liquidations?start_time={NINE}&end_time={NINE}", []),
]
RECENT = [
    Finds(RecentFilter, "coin", "/liquidations/recent?coin=eth", [200]),
    Finds(RecentFilter, "side", "/liquidations/recent?side=LONG", [300, 100]),
    Finds(RecentFilter, "min_value_usd", "/liquidations/recent?min_value_usd=300", [300]),
    Finds(RecentFilter, "limit", "/liquidations/recent?limit=1", [300]),
]
STATS = [
    Finds(StatsFilter, "coin", "/liquidations/stats?coin=BTC,ETH", ["BTC", "ETH"]),
    Finds(StatsFilter, "start_time", f"/liquidations/stats?start_time={TEN}", ["ETH", "kPEPE"]),
    Finds(StatsFilter, "end_time", f"/liquidations/stats?end_time={TEN}", ["BTC"]),
]
MAPS = [
    Finds(MapFilter, "coin", "/liquidation-map?coin=btc", [TEN, 41, 42, 43]),
    Finds(MapFilter, "timestamp", f"/liquidation-map?coin=BTC&timestamp={NINE}", [NINE, 41, 42, 43]),
    Finds(MapFilter, "timestamp", "/liquidation-map?coin=BTC&timestamp=2026-01-10T09:59:59Z", [NINE, 41, 42, 43]),
    Finds(MapFilter, "price_range", "/liquidation-map?coin=BTC&price_range=41,42", [TEN, 41, 42]),
    Finds(MapFilter, "price_range", "/liquidation-map?coin=BTC&price_range=41.00000001,41.9", [TEN]),
]
CASES = [*LIST, *RECENT, *STATS, *MAPS]


def values(rows: list[Any]) -> list[float]:
    return [float(row["liquidation_value_usd"]) for row in rows]


@pytest.mark.django_db(transaction=True)
def test_each_filter_finds_what_it_says() -> None:
    stored(
        liquidation(liquidation_value_usd="100", coin="BTC", block_timestamp=NINE),
        liquidation(
            liquidation_value_usd="200",
            coin="ETH",
            block_timestamp=TEN,
            side="SHORT",
            user_address=OTHER_WALLET,
        ),
        liquidation(liquidation_value_usd="300", coin="kPEPE", block_timestamp=ELEVEN),
    )
    check(LIST, lambda data: values(data["items"]))
    check(RECENT, lambda data: values(data["liquidations"]))
    check(STATS, lambda data: list(data["by_coin"]))


@pytest.mark.django_db(transaction=True)
def test_map_is_latest_at_time_within_prices() -> None:
    levels = [level(price) for price in ("43", "41", "42")]
    stored(*(liquidation_map(timestamp=time, levels=levels) for time in (NINE, TEN)))
    check(MAPS, lambda data: [data["timestamp"], *(float(found["price"]) for found in data["price_levels"])])


@pytest.mark.django_db
def test_a_value_that_cannot_be_is_refused_by_name() -> None:
    check_refused(
        ("/liquidations?side=UP", "side", "LONG or SHORT"),
        ("/liquidations?side=long", "side", "LONG or SHORT"),
        ("/liquidations?coin=" + "B" * 33, "coin", "coins, as the venue names them"),
        ("/liquidations?coin=BTC,,ETH", "coin", "coins"),
        ("/liquidations?coin=%00", "coin", "coins"),
        ("/liquidations?user_address=0x" + "a" * 39, "user_address", "0x and 40 hex digits"),
        ("/liquidations?min_value_usd=NaN", "min_value_usd", "a decimal number from 0"),
        ("/liquidations?min_value_usd=1e400", "min_value_usd", "a decimal number from 0"),
        ("/liquidations?min_value_usd=-1", "min_value_usd", "a decimal number from 0"),
        ("/liquidations?max_value_usd=Infinity", "max_value_usd", "a decimal number from 0"),
        ("/liquidations?start_time=yesterday", "start_time", "an ISO 8601 time"),
        ("/liquidations?start_time=2026-02-30T00:00:00Z", "start_time", "an ISO 8601 time"),
        ("/liquidations?start_time=1712120312345", "start_time", "an ISO 8601 time"),
        ("/liquidations?end_time=0001-01-01T00:00:00%2B14:00", "end_time", "an ISO 8601 time"),
        ("/liquidations/recent?limit=101", "limit", "a whole number from 1 to 100"),
        ("/liquidations/recent?limit=0", "limit", "a whole number from 1 to 100"),
        ("/liquidations/stats?coin=%F0%9F%90%8B", "coin", "coins"),
        ("/liquidation-map?coin=BTC,ETH", "coin", "one coin"),
        ("/liquidation-map?coin=BTC&timestamp=now", "timestamp", "an ISO 8601 time"),
        ("/liquidation-map?coin=BTC&price_range=2,1", "price_range", "two prices, the lower first"),
        ("/liquidation-map?coin=BTC&price_range=1", "price_range", "two prices, the lower first"),
    )


@pytest.mark.django_db
def test_a_window_that_ends_before_it_starts_is_refused() -> None:
    answer = ask(f"/liquidations?start_time={TEN}&end_time={NINE}", 400)
    assert answer["error"] == "start_time must not be after end_time"


@pytest.mark.django_db
def test_a_map_without_a_coin_is_refused() -> None:
    assert ask("/liquidation-map", 400)["error"] == "coin parameter is required"


@pytest.mark.django_db
def test_repeated_parameter_is_rejected_and_empty_ignored() -> None:
    assert ask("/liquidations?side=LONG&side=SHORT", 400)["error"] == "side is given more than once"
    assert get("/liquidations?coin=BTC&coin=&coin=ETH")["items"] == get("/liquidations?coin=BTC,ETH")["items"]
    assert get("/liquidations?side=")["items"] == []


@pytest.mark.django_db
def test_minimum_above_maximum_is_rejected_naming_both() -> None:
    answer = ask("/liquidations?min_value_usd=10.5&max_value_usd=9.75", 400)
    assert answer["error"] == "min_value_usd must not be above max_value_usd"
    assert get("/liquidations?min_value_usd=0&max_value_usd=0")["items"] == []


@pytest.mark.django_db(transaction=True)
def test_the_dashboards_parameters_of_a_map_are_let_pass() -> None:
    stored(liquidation_map())
    assert get("/liquidation-map?coin=BTC&window_seconds=14400&step=50")["coin"] == "BTC"
