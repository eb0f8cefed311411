"""Sums of liquidations, by side and by coin."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from hyperwatch.formats import EXACT, Side

NOTHING = (0, f"{0:.8f}")


def summed(tallies: Iterable[tuple[str | None, str | None, int, str]]) -> dict[str, Any]:
    """S of rest.md without `since`, of tallies (coin, side, count, value) of a coin or of a side."""
    sides = {side.value: NOTHING for side in Side}
    by_coin = {}
    for coin, side, facts, value in tallies:
        if coin is not None:
            by_coin[coin] = {"count": facts, "value_usd": value}
        elif side is not None:
            sides[side] = (facts, value)
    longs, shorts = sides[Side.LONG.value], sides[Side.SHORT.value]
    # Python's own context would round at 28 digits.
    total = longs[0] + shorts[0], f"{EXACT.add(Decimal(longs[1]), Decimal(shorts[1])):.8f}"
    told = _told("total", *total) | _told("long", *longs) | _told("short", *shorts)
    return {**told, "by_coin": by_coin}


def _told(name: str, facts: int, value: str) -> dict[str, Any]:
    return {f"{name}_liquidations": facts, f"{name}_liquidation_value_usd": value}
