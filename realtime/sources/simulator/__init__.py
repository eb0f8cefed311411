"""Simulated exchange that produces Kafka messages: demo data, load generator, and test data with known results.

Wallets trade leveraged positions on price paths with liquidation cascades. Positions are liquidated by the venue's
rule. Seed and start time determine every byte. The engine is independent of Django; `live_runner` sends its
messages to Kafka.

    simulator = MarketSimulator(seed=7, start=datetime(2026, 1, 1, tzinfo=UTC))
    for message in islice(simulator.messages(rate=25), 1_000): ...
"""

from realtime.sources.simulator.live_runner import run_simulator
from realtime.sources.simulator.message_builder import Kind, OutgoingMessage
from realtime.sources.simulator.simulation import DEFAULT_COINS, DEFAULT_WALLETS, MarketSimulator

DEFAULT_RATE = 25.0
DEFAULT_SEED = 1

__all__ = [
    "DEFAULT_COINS",
    "DEFAULT_RATE",
    "DEFAULT_SEED",
    "DEFAULT_WALLETS",
    "Kind",
    "MarketSimulator",
    "OutgoingMessage",
    "run_simulator",
]
