"""Sums of liquidations, by side and by coin."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Self

from hyperwatch.formats import EXACT, Side


@dataclass(frozen=True)
class Sum:
    """A count and a value in USD, which stays exact: Python's own context would round at 28 digits."""

    count: int = 0
    value: Decimal = Decimal(0)

    def plus(self, count: int, value: Decimal) -> Self:
        return replace(self, count=self.count + count, value=EXACT.add(self.value, value))

    @property
    def value_usd(self) -> str:
        return f"{self.value:.8f}"


def summed(groups: Iterable[tuple[str, str, int, Decimal]]) -> dict[str, Any]:
    """S of rest.md without `since`, of groups (coin, side, count, value)."""
    whole, sides, coins = Sum(), dict.fromkeys(Side, Sum()), dict[str, Sum]()
    for coin, side, count, value in sorted(groups):
        whole = whole.plus(count, value)
        sides[Side(side)] = sides[Side(side)].plus(count, value)
        coins[coin] = coins.get(coin, Sum()).plus(count, value)
    told = _told("total", whole)
    for side, of_side in sides.items():
        told |= _told(side.lower(), of_side)
    by_coin = {coin: {"count": of.count, "value_usd": of.value_usd} for coin, of in coins.items()}
    return {**told, "by_coin": by_coin}


def _told(name: str, of: Sum) -> dict[str, Any]:
    return {f"{name}_liquidations": of.count, f"{name}_liquidation_value_usd": of.value_usd}
