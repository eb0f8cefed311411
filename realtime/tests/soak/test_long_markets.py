"""Simulated markets that take longer than the default tests allow."""

from collections import Counter

from realtime.sources.simulator import Kind
from realtime.tests.unit.test_market import LIQUIDATIONS, STATES, market, run


def test_cascades_happen_and_the_market_survives_them() -> None:
    simulated = market(coins=6, wallets=150)
    minutes = Counter(m.time_us // 60_000_000 for m in run(simulated, 60_000) if m.kind in LIQUIDATIONS)
    counts = sorted(minutes.values())
    assert counts[-1] > 3 * counts[len(counts) // 2]
    for coin_market in simulated.coin_markets:
        assert 0.1 < float(coin_market.mark) / coin_market.instrument.anchor < 10


def test_largest_market_sends_every_kind() -> None:
    messages = list(run(market(coins=30, wallets=2_000), 3_000))
    assert {message.kind for message in messages} >= {Kind.ORDER, *STATES}
    assert max(len(message.value) for message in messages) < 512 * 1024
