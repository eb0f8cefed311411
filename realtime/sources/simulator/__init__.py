"""A small simulated exchange upstream of Kafka: the demo, the load generator, and the tests' known truth.

Wallets with leveraged positions trade on price paths with cascades, and lose what the mark price crosses by
the venue's rule. A seed and a start time determine every byte. The engine knows nothing of Django; `feed`
takes it to Kafka.

    market = Market(seed=7, start=datetime(2026, 1, 1, tzinfo=UTC))
    for message in islice(market.messages(rate=25), 1_000): ...
"""

from realtime.sources.simulator.live_runner import run_simulator
from realtime.sources.simulator.message_builder import Kind, OutgoingMessage
from realtime.sources.simulator.simulation import DEFAULT_COINS, DEFAULT_WALLETS, Market

DEFAULT_RATE = 25.0
DEFAULT_SEED = 1

__all__ = [
    "DEFAULT_COINS",
    "DEFAULT_RATE",
    "DEFAULT_SEED",
    "DEFAULT_WALLETS",
    "Kind",
    "Market",
    "OutgoingMessage",
    "run_simulator",
]
