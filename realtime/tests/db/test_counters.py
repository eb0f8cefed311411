"""Totals and sums come from counters, and are always what a count of the rows would say."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from hyperwatch.tests.api_client import get
from realtime.storage.retention import prune
from realtime.storage.rollups import EPOCH, TimeRange, time_slices
from realtime.streams import get_stream
from realtime.tests.builders import liquidation, stored, transaction

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
COINS = ("BTC", "ETH", "kPEPE")
SIDES = ("LONG", "SHORT")


def random_time(chance: random.Random) -> datetime:
    """Within some months, most of them close together, some on the borders of periods."""
    back = timedelta(seconds=chance.choice([60, 3_600, 86_400, 5 * 86_400, 90 * 86_400]) * chance.random())
    time = NOW - back
    border = chance.choice([None, None, None, 60, 3_600, 86_400, 30 * 86_400])
    if border is not None:
        time -= (time - datetime(1970, 1, 1, tzinfo=UTC)) % timedelta(seconds=border)
    return time


def store_some(chance: random.Random, count: int) -> None:
    facts = []
    for _ in range(count):
        fields = {
            "coin": chance.choice(COINS),
            "side": chance.choice(SIDES),
            "raw_data": {"tid": chance.getrandbits(60)},
        }
        time = random_time(chance).isoformat()
        value = f"{chance.randrange(10**14)}.{chance.randrange(10**8):08}"
        facts.append(liquidation(block_timestamp=time, liquidation_value_usd=value, **fields))
        facts.append(transaction(block_timestamp=time, **fields))
    # In batches, so that counters are made and added to; some facts come again.
    for low in range(0, len(facts), 40):
        stored(*facts[low : low + 40], *facts[:5], now=NOW)


def random_query(chance: random.Random) -> dict[str, str]:
    times = sorted((random_time(chance), random_time(chance)))
    requested = {"start_time": times[0].isoformat(), "end_time": times[1].isoformat(), "side": chance.choice(SIDES)}
    requested["coin"] = ",".join(chance.sample([*COINS, "NEVER"], chance.randint(1, 3)))
    return {name: value for name, value in requested.items() if chance.random() < 0.6}


def rows(table: str, requested: dict[str, str]) -> list[tuple[Any, ...]]:
    """The slow query: each matching row with its coin, side and value."""
    conditions = {
        "block_timestamp >= %s": requested.get("start_time"),
        "block_timestamp < %s": requested.get("end_time"),
        "side = %s": requested.get("side"),
        "coin = ANY(%s)": requested["coin"].split(",") if "coin" in requested else None,
    }
    given = {text: value for text, value in conditions.items() if value is not None}
    value = "liquidation_value_usd" if table == "liquidations" else "0"
    where = " AND ".join(["true", *given])
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT coin, side, {value} FROM {table} WHERE {where}", list(given.values()))
        return list(cursor.fetchall())


def path(place: str, requested: dict[str, str]) -> str:
    return f"{place}?" + "&".join(f"{name}={value.replace('+', '%2B')}" for name, value in requested.items())


def assert_stats_are_the_rows(requested: dict[str, str]) -> None:
    requested = {name: value for name, value in requested.items() if name != "side"}
    answer = get(path("/liquidations/stats", requested))
    found = rows("liquidations", requested)
    assert answer["total_liquidations"] == len(found)
    assert Decimal(answer["total_liquidation_value_usd"]) == exact_sum([value for _, _, value in found])
    for side in SIDES:
        of_side = [value for _, of, value in found if of == side]
        assert answer[f"{side.lower()}_liquidations"] == len(of_side)
        assert Decimal(answer[f"{side.lower()}_liquidation_value_usd"]) == exact_sum(of_side)
    by_coin = {coin: [value for of, _, value in found if of == coin] for coin in {coin for coin, _, _ in found}}
    assert answer["by_coin"] == {
        coin: {"count": len(values), "value_usd": f"{exact_sum(values):.8f}"} for coin, values in by_coin.items()
    }


def exact_sum(values: Sequence[Decimal]) -> Decimal:
    return Decimal(sum(int(value.scaleb(8)) for value in values)).scaleb(-8)


def test_statistics_equal_rows_after_pruning() -> None:
    check_statistics(seed=0, queries=3)


def check_statistics(seed: int, queries: int) -> None:
    """Totals and sums over random windows, between steps of pruning."""
    chance = random.Random(seed)
    store_some(chance, 150)
    for days in (None, 50, 4, 1, 0.1):
        if days is not None:
            for name in ("liquidations", "transactions"):
                for _ in prune(get_stream(name), NOW - timedelta(days=days)):
                    pass
        for _ in range(queries):
            params = random_query(chance)
            assert_stats_are_the_rows(params)
            for table in ("liquidations", "transactions"):
                pagination = get(path(f"/{table}", params))["pagination"]
                assert (pagination["total"], pagination["total_exact"]) == (len(rows(table, params)), True)


@pytest.mark.parametrize("seconds", [10, 60, 3_600, 86_400, 5_184_000])
def test_values_have_eight_decimals_wherever_they_come_from(seconds: int) -> None:
    time = datetime(2026, 1, 10, 10, 0, 1, tzinfo=UTC)
    stored(liquidation(side="SHORT", liquidation_value_usd="5", block_timestamp=time.isoformat()))
    end = time + timedelta(seconds=seconds)
    answer = get(f"/liquidations/stats?start_time={time:%FT%TZ}&end_time={end:%FT%TZ}")
    assert answer["total_liquidation_value_usd"] == answer["short_liquidation_value_usd"] == "5.00000000"
    assert answer["long_liquidation_value_usd"] == "0.00000000"
    assert answer["by_coin"] == {"BTC": {"count": 1, "value_usd": "5.00000000"}}


@pytest.mark.parametrize("path", ["/liquidations/stats", "/liquidations", "/transactions"])
def test_window_accepts_first_and_last_time(path: str) -> None:
    stored(liquidation(), transaction())
    for first, last, found in (
        ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", 1),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999999Z", 0),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:01Z", 0),
    ):
        answer = get(f"{path}?start_time={first}&end_time={last}")
        assert (answer["pagination"]["total"] if "pagination" in answer else answer["total_liquidations"]) == found


def cut(begin: str, end: str) -> set[tuple[Any, ...]]:
    """The parts of a window in a January: how long their periods are, from when, until when, whether beyond."""
    window = TimeRange(*(datetime.fromisoformat(f"2026-01-{text}+00:00") for text in (begin, end)))
    return {
        (part.seconds, *(f"{time:%d %H:%M:%S}" for time in part.range if time), part.is_subtracted)
        for part in time_slices(window)
    }


def test_window_splits_into_rows_and_longer_periods() -> None:
    assert cut("01 22:58:40", "04 01:01:20") == {
        (None, "01 22:58:40", "01 22:59:00", False),
        (60, "01 22:59:00", "01 23:00:00", False),
        (3_600, "01 23:00:00", "02 00:00:00", False),
        (86_400, "02 00:00:00", "04 00:00:00", False),
        (3_600, "04 00:00:00", "04 01:00:00", False),
        (60, "04 01:00:00", "04 01:01:00", False),
        (None, "04 01:01:00", "04 01:01:20", False),
    }


def test_an_open_window_has_its_longest_periods_without_end() -> None:
    thirty = 2_592_000
    assert list(time_slices(TimeRange())) == [(thirty, (None, None), False)]
    border, day = EPOCH + timedelta(days=30 * 700), timedelta(days=1)
    assert list(time_slices(TimeRange(border + day))) == [
        (86_400, (border, border + day), True),
        (thirty, (border, None), False),
    ]
    assert list(time_slices(TimeRange(None, border - day))) == [
        (86_400, (border - day, border), True),
        (thirty, (None, border), False),
    ]


def test_what_is_nearer_from_beyond_the_window_is_subtracted() -> None:
    assert cut("01 02:10:10", "03 23:59:50") == {
        (86_400, "01 00:00:00", "04 00:00:00", False),
        (3_600, "01 00:00:00", "01 02:00:00", True),
        (60, "01 02:00:00", "01 02:10:00", True),
        (None, "01 02:10:00", "01 02:10:10", True),
        (None, "03 23:59:50", "04 00:00:00", True),
    }


def test_short_window_is_not_split() -> None:
    assert cut("01 02:10:10", "01 02:10:30") == {(None, "01 02:10:10", "01 02:10:30", False)}
    assert cut("01 02:20:00", "01 02:50:00") == {(60, "01 02:20:00", "01 02:50:00", False)}
    assert cut("01 02:40:00", "01 03:20:00") == {(60, "01 02:40:00", "01 03:20:00", False)}
    assert cut("01 11:00:00", "01 23:00:00") == {
        (3_600, "01 11:00:00", "01 23:00:00", False),
    }
    assert cut("01 10:00:00", "02 00:00:00") == {
        (86_400, "01 00:00:00", "02 00:00:00", False),
        (3_600, "01 00:00:00", "01 10:00:00", True),
    }
