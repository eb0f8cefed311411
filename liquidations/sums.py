"""Sums of liquidations, by side and by coin."""

from collections.abc import Iterable
from typing import Any

from realtime.counters import Tally

ZERO = f"{0:.8f}"
NOTHING = Tally(None, (0, 0), (ZERO, ZERO), ZERO)


def summed(tallies: Iterable[Tally]) -> dict[str, Any]:
    """S of rest.md without `since`."""
    of_coin = {tally.coin: tally for tally in tallies}
    together = of_coin.pop(None, NOTHING)
    counts = (sum(together.counts), *together.counts)
    values = (together.value, *together.values)
    told: dict[str, Any] = {}
    for name, facts, value in zip(("total", "long", "short"), counts, values, strict=True):
        told |= {f"{name}_liquidations": facts, f"{name}_liquidation_value_usd": value}
    by_coin = {coin: {"count": sum(tally.counts), "value_usd": tally.value} for coin, tally in of_coin.items()}
    return {**told, "by_coin": by_coin}
