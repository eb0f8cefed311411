"""Sums of liquidations, by side and by coin."""

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from hyperwatch.formats import EXACT, Side


class Sum:
    """A count and a value in USD, which stays exact: Python's own context would round at 28 digits."""

    def __init__(self) -> None:
        self.count = 0
        self.value = Decimal(0)

    def add(self, count: int, value: Decimal) -> None:
        self.count += count
        self.value = EXACT.add(self.value, value)

    @property
    def value_usd(self) -> str:
        return f"{self.value:.8f}"


def summed(groups: Iterable[tuple[str, str, int, Decimal]]) -> dict[str, Any]:
    """S of rest.md without `since`, of groups (coin, side, count, value)."""
    whole, sides, coins = Sum(), {side.value: Sum() for side in Side}, defaultdict[str, Sum](Sum)
    for coin, side, count, value in groups:
        sides[side].add(count, value)
        coins[coin].add(count, value)
    for of_side in sides.values():
        whole.add(of_side.count, of_side.value)
    told = _told("total", whole)
    for side, of_side in sides.items():
        told |= _told(side.lower(), of_side)
    by_coin = {coin: {"count": of.count, "value_usd": of.value_usd} for coin, of in coins.items()}
    return {**told, "by_coin": by_coin}


def _told(name: str, of: Sum) -> dict[str, Any]:
    return {f"{name}_liquidations": of.count, f"{name}_liquidation_value_usd": of.value_usd}
