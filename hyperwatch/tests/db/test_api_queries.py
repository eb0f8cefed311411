"""How many queries an answer costs: a checked-in baseline, the same for one row and for a hundred."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from hyperwatch.tests.api_client import get
from realtime.tests.builders import (
    HASH,
    WALLET,
    liquidation,
    liquidation_map,
    position,
    position_summary,
    ratio,
    stored,
    transaction,
)
from whales.models import WhaleWatch

QUERIES = {
    "/transactions": 3,
    "/transactions?coin=BTC": 3,
    "/transactions?cursor=": 2,
    f"/transactions/{HASH}": 3,
    "/liquidations": 3,
    "/liquidations?min_value_usd=1": 3,
    "/liquidations/recent": 2,
    "/liquidations/recent?coin=BTC": 2,
    "/liquidations/stats": 2,
    "/liquidation-map?coin=COIN1": 2,
    "/long-short-ratios/current": 2,
    "/long-short-ratios/history?coin=COIN1": 3,
    "/whales": 2,
    "/whales/{whale}/activities": 4,
    "/positions": 4,
    "/coins": 1,
}


def store(first: int, last: int) -> None:
    numbers = range(first, last + 1)
    stored(
        *(transaction(raw_data={"tid": number, "dir": "Open Long"}) for number in numbers),
        *(liquidation(raw_data={"tid": number}) for number in numbers),
        *(liquidation_map(f"COIN{number}") for number in numbers),
        *(ratio("COIN1", f"2026-01-{number % 9 + 1:02}T{number // 9:02}:00:00Z") for number in numbers),
        *(ratio(f"COIN{number}") for number in numbers),
        *(position_summary(f"COIN{number}", positions=[position()]) for number in numbers),
    )


def count(path: str) -> int:
    """The one that begins the moment that they are read at reads the version, too."""
    with CaptureQueriesContext(connection) as queries:
        get(path)
    return sum("SELECT" in query["sql"] for query in queries.captured_queries)


@pytest.mark.django_db(transaction=True)
def test_query_count_is_independent_of_row_count() -> None:
    whale = WhaleWatch.objects.create(wallet_address=WALLET)
    paths = {path: path.format(whale=whale.pk) for path in QUERIES}
    store(1, 1)
    assert {name: count(path) for name, path in paths.items()} == QUERIES
    store(2, 100)
    for number in range(99):
        WhaleWatch.objects.create(wallet_address=f"0x{number:040x}")
    assert {name: count(path) for name, path in paths.items()} == QUERIES
