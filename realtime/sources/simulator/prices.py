"""Price paths: random walks with a common regime, mean reversion to an anchor, and pressure by forced orders.

The unit of time is abstract; each block advances by a number of units that is inverse to the number of positions.
A position therefore experiences equal price movement at any number of wallets and coins.
"""

import math
from random import Random
from typing import NamedTuple

from realtime.sources.simulator.instruments import Instrument

VOLATILITY_PER_UNIT = 0.0004
REVERSION_PER_UNIT = 2e-5


class Regime(NamedTuple):
    """Drift and volatility of all coins per unit of time, for `min_duration` to `max_duration` units.

    `share` is the weight in the choice of the next regime.
    """

    name: str
    share: int
    drift: float
    volatility: float
    min_duration: int
    max_duration: int


REGIMES = (
    Regime("calm", 45, 0.0, 1.0, 1_500, 6_000),
    Regime("rising", 16, 8e-6, 1.0, 1_000, 4_000),
    Regime("falling", 16, -8e-6, 1.0, 1_000, 4_000),
    Regime("storm", 8, 0.0, 1.9, 400, 1_500),
    Regime("crash", 10, -1.6e-4, 1.7, 150, 500),
    Regime("squeeze", 5, 1.4e-4, 1.6, 150, 400),
)


class RegimeProcess:
    """Sequence of market regimes, common to all coins."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.current = REGIMES[0]
        self._remaining: float = self.current.min_duration

    def advance(self, duration: float) -> None:
        self._remaining -= duration
        if self._remaining <= 0:
            self.current = self._rng.choices(REGIMES, [regime.share for regime in REGIMES])[0]
            self._remaining = self._rng.randint(self.current.min_duration, self.current.max_duration)


class PricePath:
    """Price of one coin, as the logarithm of its ratio to the anchor."""

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self._log_distance = 0.0
        self._pressure = 0.0
        self._last_time = 0.0

    def advance(self, rng: Random, now: float, regime: Regime) -> float:
        """Advances to the time `now` and returns the price; the step covers the whole time since the last call."""
        duration = now - self._last_time
        self._last_time = now
        diffusion = rng.gauss(0.0, 1.0) * VOLATILITY_PER_UNIT * regime.volatility * math.sqrt(duration)
        self._log_distance += self._instrument.volatility_factor * (diffusion + regime.drift * duration)
        self._log_distance *= max(0.0, 1.0 - REVERSION_PER_UNIT * duration)
        self._pressure /= 2
        self._log_distance += self._pressure
        return self._instrument.anchor * math.exp(self._log_distance)

    def add_pressure(self, value_usd: float) -> None:
        """Applies a forced order (negative: a sale) to the next prices, which can trigger further liquidations."""
        self._pressure += max(-0.004, min(0.004, value_usd / (400.0 * self._instrument.depth)))
