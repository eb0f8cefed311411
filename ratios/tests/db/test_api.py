"""The ratios as rest.md documents them."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from hyperwatch.api import clock
from hyperwatch.tests.api_client import get, walk
from ratios import models
from realtime.models import StreamHead
from realtime.tests.builders import TIME, ratio, stored

pytestmark = pytest.mark.django_db(transaction=True)

HISTORY = "/long-short-ratios/history?coin=BTC"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# In seconds.
INTERVALS = {"1m": 60, "5m": 300, "15m": 900, "1h": 3_600, "1d": 86_400}


def test_current_ratio_is_latest_of_each_coin(monkeypatch: pytest.MonkeyPatch) -> None:
    stored(ratio(), ratio(coin="ETH"))
    stored(ratio(timestamp="2026-01-10T10:00:00Z", long_ratio=0.9, short_ratio=0.1))
    moment = datetime.fromisoformat(TIME) + timedelta(minutes=5)
    monkeypatch.setattr(clock, "now", lambda: moment)
    data = get("/long-short-ratios/current")
    assert [(row["coin"], row["age_seconds"]) for row in data["ratios"]] == [("BTC", 300), ("ETH", 300)]
    assert data["head"] == 3
    answer = {
        "seq": 1,
        "coin": "BTC",
        "timestamp": TIME,
        "long_ratio": 0.5124,
        "short_ratio": 0.4876,
        "long_position_value": "91374.54465000",
        "short_position_value": "86955.70298000",
        "total_position_value": "178330.24763000",
        "long_accounts": 3,
        "short_accounts": 6,
        "age_seconds": 300,
    }
    assert data["ratios"][0] == answer


def test_history_returns_newest_thousand_nonempty_intervals() -> None:
    newest = datetime.fromisoformat(TIME)
    # With a gap between any two, so that only a count of those that are there comes to a thousand.
    stored(*(ratio(timestamp=(newest - timedelta(hours=3 * number)).isoformat()) for number in range(1_010)))
    data = get(HISTORY)
    assert data["pagination"]["total"] == 1_000
    assert data["pagination"]["total_exact"] is True
    assert len(walk(HISTORY)) == 1_000
    assert len(walk(f"{HISTORY}&start_time=2020-01-01")) == 1_010


def test_history_query_reads_only_the_coins_index() -> None:
    newest = datetime.fromisoformat(TIME)
    minutes = [(newest - timedelta(minutes=number)).isoformat() for number in range(200)]
    stored(*(ratio(coin=coin, timestamp=minute) for minute in minutes for coin in ("BTC", *"ABCDEFGHI")))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE long_short_ratios")
        with CaptureQueriesContext(connection) as params:
            data = get(f"{HISTORY}&interval=1m&page=2&page_size=80")
        (statements,) = [query["sql"] for query in params if "RECURSIVE" in query["sql"]]
        statement = statements.rpartition("; ")[2]
        with transaction.atomic():
            # As where a coin has more ratios than would be read for it.
            cursor.execute("SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off")
            cursor.execute(f"EXPLAIN (COSTS OFF) {statement}")
        scans = [line for (line,) in cursor.fetchall() if " on long_short_ratios" in line]
    assert data["pagination"]["total"] == 200
    assert [datetime.fromisoformat(item["timestamp"]).isoformat() for item in data["items"]] == minutes[80:160]
    assert len(scans) == 3
    assert [scan for scan in scans if "Index Only Scan" not in scan] == []


@pytest.mark.parametrize(
    ("interval", "max_rows"),
    [("1m", 10_000), ("1m", 40), ("5m", 10_000), ("5m", 1), ("15m", 10_000), ("1h", 10_000), ("1d", 10_000)],
)
def test_history_returns_last_ratio_of_each_interval(
    monkeypatch: pytest.MonkeyPatch, interval: str, max_rows: int
) -> None:
    monkeypatch.setattr(models, "MAX_SEQUENTIAL_ROWS", max_rows)
    chance, newest = random.Random(interval), datetime.fromisoformat(TIME)
    # Some close together, on borders too, and the longer ago, the longer the gaps.
    backs = {int(chance.choice([1, 60, 900, 3_600]) * chance.randrange(1, 300)) for _ in range(400)}
    backs |= {int(3_600 * 1.2**number) for number in range(60)}
    times = sorted(newest - timedelta(seconds=back) for back in backs if back < 5 * 365 * 86_400)
    stored(*(ratio(timestamp=time.isoformat()) for time in times))
    length = timedelta(seconds=INTERVALS[interval])
    last = {(time - EPOCH) // length: time for time in times}
    expected = [last[number] for number in sorted(last, reverse=True)]
    params = f"{HISTORY}&interval={interval}"
    assert moments(walk(params)) == expected
    assert get(params)["pagination"]["total"] == len(expected)
    start, end = times[50], times[-20]
    window = f"{params}&start_time={start:%FT%TZ}&end_time={end:%FT%TZ}"
    last = {(time - EPOCH) // length: time for time in times if start <= time < end}
    assert moments(get(f"{window}&page_size=100")["items"]) == sorted(last.values(), reverse=True)[:100]


def moments(rows: Sequence[Any]) -> list[datetime]:
    return [datetime.fromisoformat(row["timestamp"]) for row in rows]


def test_history_by_cursor_stays_at_its_snapshot() -> None:
    stored(*(ratio(timestamp=f"2026-01-10T{hour:02}:10:00Z") for hour in range(6)))
    first = get(f"{HISTORY}&page_size=2&cursor=")
    stored(*(ratio(timestamp=f"2026-01-10T{hour:02}:50:00Z") for hour in range(6)))
    second = get(f"{HISTORY}&page_size=2&cursor={first['pagination']['next_cursor']}")
    assert [row["timestamp"][11:16] for row in second["items"]] == ["03:10", "02:10"]
    assert second["head"] == 6


def test_current_ratio_falls_back_to_visible_head() -> None:
    stored(ratio(), ratio(timestamp="2026-01-10T11:00:00Z"))
    StreamHead.objects.filter(name="long_short_ratios").update(head=1)
    data = get("/long-short-ratios/current")
    assert (data["head"], [row["seq"] for row in data["ratios"]]) == (1, [1])
