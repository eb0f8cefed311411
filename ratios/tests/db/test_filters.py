"""What each filter of the ratios finds, and what it refuses."""

import pytest

from hyperwatch.tests.api_client import Finds, ask, check, check_refused
from ratios.filters import CurrentFilter, HistoryFilter
from realtime.tests.builders import ratio, stored

CURRENT = [
    Finds(CurrentFilter, "coin", "/long-short-ratios/current?coin=kpepe", ["kPEPE"]),
    Finds(CurrentFilter, "coin", "/long-short-ratios/current?coin=kpepe,BTC", ["BTC", "kPEPE"]),
    Finds(CurrentFilter, "coin", "/long-short-ratios/current?coin=NEVER", []),
]
PATH = "/long-short-ratios/history"
HISTORY = [
    Finds(HistoryFilter, "coin", f"{PATH}?coin=btc", ["11:00", "10:59", "09:30"]),
    Finds(HistoryFilter, "coin", f"{PATH}?coin=NEVER", []),
    Finds(HistoryFilter, "interval", f"{PATH}?coin=BTC&interval=1h", ["11:00", "10:59", "09:30"]),
    Finds(HistoryFilter, "interval", f"{PATH}?coin=BTC&interval=1d", ["11:00"]),
    Finds(HistoryFilter, "interval", f"{PATH}?coin=BTC&interval=15m", ["11:00", "10:59", "10:14", "09:30"]),
    Finds(HistoryFilter, "interval", f"{PATH}?coin=BTC&interval=5m", ["11:00", "10:59", "10:14", "10:07", "09:30"]),
    Finds(HistoryFilter, "interval", f"{PATH}?coin=BTC&interval=1m", ["11:00", "10:59", "10:14", "10:07", "09:30"]),
    Finds(HistoryFilter, "start_time", f"{PATH}?coin=BTC&start_time=2026-01-10T10:59:00Z", ["11:00", "10:59"]),
    Finds(HistoryFilter, "end_time", f"{PATH}?coin=BTC&end_time=2026-01-10T10:59:00Z", ["10:14", "09:30"]),
]
CASES = [*CURRENT, *HISTORY]


@pytest.mark.django_db(transaction=True)
def test_each_filter_finds_what_it_says() -> None:
    times = ("09:30", "10:07", "10:14", "10:59", "11:00")
    stored(*(ratio(timestamp=f"2026-01-10T{time}:00Z") for time in times), ratio(coin="kPEPE"))
    check(CURRENT, lambda data: [row["coin"] for row in data["ratios"]])
    check(HISTORY, lambda data: [row["timestamp"][11:16] for row in data["items"]])


@pytest.mark.django_db
def test_a_value_that_cannot_be_is_refused_by_name() -> None:
    check_refused(
        (f"{PATH}?coin=BTC&interval=7m", "interval", "1m, 5m, 15m, 1h or 1d"),
        (f"{PATH}?coin=BTC,ETH", "coin", "one coin"),
        (f"{PATH}?coin=BTC&end_time=2026-13-01", "end_time", "an ISO 8601 time"),
        ("/long-short-ratios/current?coin=B T C", "coin", "coins"),
    )
    assert ask(PATH, 400)["error"] == "coin parameter is required"
