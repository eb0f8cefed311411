"""Totals and sums come from counters, and are always what a count of the rows would say."""

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from hyperwatch.tests.asking import get
from realtime.counters import Window, parts
from realtime.retention import prune
from realtime.streams import get_stream
from realtime.tests.builders import liquidation, stored, transaction

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
COINS = ("BTC", "ETH", "kPEPE")
SIDES = ("LONG", "SHORT")


def random_time(chance: random.Random) -> datetime:
    """Within some days, most of them close together, some on the borders of periods."""
    back = timedelta(seconds=chance.choice([60, 3_600, 86_400, 5 * 86_400]) * chance.random())
    time = NOW - back
    border = chance.choice([None, None, None, 60, 3_600, 86_400])
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
    asked = {"start_time": times[0].isoformat(), "end_time": times[1].isoformat(), "side": chance.choice(SIDES)}
    asked["coin"] = ",".join(chance.sample([*COINS, "NEVER"], chance.randint(1, 3)))
    return {name: value for name, value in asked.items() if chance.random() < 0.6}


def rows(table: str, asked: dict[str, str]) -> list[tuple[Any, ...]]:
    """The slow query: each row that is asked for, with its coin, side and value."""
    conditions = {
        "block_timestamp >= %s": asked.get("start_time"),
        "block_timestamp < %s": asked.get("end_time"),
        "side = %s": asked.get("side"),
        "coin = ANY(%s)": asked["coin"].split(",") if "coin" in asked else None,
    }
    given = {text: value for text, value in conditions.items() if value is not None}
    value = "liquidation_value_usd" if table == "liquidations" else "0"
    where = " AND ".join(["true", *given])
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT coin, side, {value} FROM {table} WHERE {where}", list(given.values()))
        return list(cursor.fetchall())


def path(place: str, asked: dict[str, str]) -> str:
    return f"{place}?" + "&".join(f"{name}={value.replace('+', '%2B')}" for name, value in asked.items())


def assert_stats_are_the_rows(asked: dict[str, str]) -> None:
    asked = {name: value for name, value in asked.items() if name != "side"}
    told = get(path("/liquidations/stats", asked))
    found = rows("liquidations", asked)
    assert told["total_liquidations"] == len(found)
    assert Decimal(told["total_liquidation_value_usd"]) == exact_sum([value for _, _, value in found])
    for side in SIDES:
        of_side = [value for _, of, value in found if of == side]
        assert told[f"{side.lower()}_liquidations"] == len(of_side)
        assert Decimal(told[f"{side.lower()}_liquidation_value_usd"]) == exact_sum(of_side)
    by_coin = {coin: [value for of, _, value in found if of == coin] for coin in {coin for coin, _, _ in found}}
    assert told["by_coin"] == {
        coin: {"count": len(values), "value_usd": f"{exact_sum(values):.8f}"} for coin, values in by_coin.items()
    }


def exact_sum(values: Sequence[Decimal]) -> Decimal:
    return Decimal(sum(int(value.scaleb(8)) for value in values)).scaleb(-8)


@pytest.mark.parametrize("seed", range(2))
def test_totals_and_sums_over_any_window_are_those_of_the_rows_also_when_some_are_pruned(seed: int) -> None:
    chance = random.Random(seed)
    store_some(chance, 150)
    for days in (None, 4, 1, 0.1):
        if days is not None:
            for name in ("liquidations", "transactions"):
                for _ in prune(get_stream(name), NOW - timedelta(days=days)):
                    pass
        for _ in range(12):
            asked = random_query(chance)
            assert_stats_are_the_rows(asked)
            for table in ("liquidations", "transactions"):
                pagination = get(path(f"/{table}", asked))["pagination"]
                assert (pagination["total"], pagination["total_exact"]) == (len(rows(table, asked)), True)


def test_a_window_is_cut_into_rows_at_its_ends_and_ever_longer_periods() -> None:
    start, end = datetime(2026, 1, 1, 22, 58, 30, tzinfo=UTC), datetime(2026, 1, 4, 1, 1, 0, tzinfo=UTC)
    cut = [(part.seconds, part.window.start, part.window.end) for part in parts(Window(start, end))]
    at = [datetime(2026, 1, day, hour, minute, tzinfo=UTC) for day, hour, minute in
          ((1, 22, 59), (1, 23, 0), (2, 0, 0), (4, 0, 0), (4, 1, 0))]  # fmt: skip
    assert sorted(cut, key=lambda part: part[1] or start) == [
        (None, start, at[0]),
        (60, at[0], at[1]),
        (3_600, at[1], at[2]),
        (86_400, at[2], at[3]),
        (3_600, at[3], at[4]),
        (60, at[4], end),
    ]
    assert [part.seconds for part in parts(Window(start, start + timedelta(seconds=20)))] == [None]
    assert [(part.seconds, *part.window) for part in parts(Window())] == [(0, None, None)]
    assert [(part.seconds, *part.window) for part in parts(Window(at[2]))] == [(86_400, at[2], None)]
