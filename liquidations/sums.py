"""Sums of liquidations, by side and by coin."""

from collections.abc import Iterable, Sequence
from typing import Any

ZERO = f"{0:.8f}"


def summed(tallies: Iterable[tuple[str | None, Sequence[int], Sequence[str], str]]) -> dict[str, Any]:
    """S of rest.md without `since`, of tallies (coin, counts, values, value): of each coin, and of all together (None).

    Counts and values are of longs and of shorts; `value` is what the values come to.
    """
    together = _told((0, 0), (ZERO, ZERO), ZERO)
    by_coin = {}
    for coin, counts, values, value in tallies:
        if coin is None:
            together = _told(counts, values, value)
        else:
            by_coin[coin] = {"count": sum(counts), "value_usd": value}
    return {**together, "by_coin": by_coin}


def _told(counts: Sequence[int], values: Sequence[str], value: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, facts, usd in zip(("total", "long", "short"), (sum(counts), *counts), (value, *values), strict=True):
        told |= {f"{name}_liquidations": facts, f"{name}_liquidation_value_usd": usd}
    return told
