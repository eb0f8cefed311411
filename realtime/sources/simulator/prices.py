"""Price paths: random walks that share a weather, return to their anchor and feel forced sales.

Time is counted in moments, of which each step of the market has some: the more positions there are, the fewer,
so that a position lives through as much in a small market as in a large one.
"""

import math
from random import Random
from typing import NamedTuple

from realtime.sources.simulator.instruments import Instrument

VOLATILITY = 0.0004
REVERSION = 2e-5


class Weather(NamedTuple):
    """How all markets move, for `least` to `most` moments; drift and volatility are those of one moment."""

    name: str
    share: int
    drift: float
    volatility: float
    least: int
    most: int


WEATHERS = (
    Weather("calm", 45, 0.0, 1.0, 1_500, 6_000),
    Weather("rising", 16, 8e-6, 1.0, 1_000, 4_000),
    Weather("falling", 16, -8e-6, 1.0, 1_000, 4_000),
    Weather("storm", 8, 0.0, 1.9, 400, 1_500),
    Weather("crash", 10, -1.6e-4, 1.7, 150, 500),
    Weather("squeeze", 5, 1.4e-4, 1.6, 150, 400),
)


class Sky:
    """The weather over all markets, one after another."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.now = WEATHERS[0]
        self._left: float = self.now.least

    def pass_by(self, moments: float) -> None:
        self._left -= moments
        if self._left <= 0:
            self.now = self._rng.choices(WEATHERS, [weather.share for weather in WEATHERS])[0]
            self._left = self._rng.randint(self.now.least, self.now.most)


class Path:
    """One coin's price, as the logarithm of its distance from the anchor."""

    def __init__(self, coin: Instrument) -> None:
        self._coin = coin
        self._distance = 0.0
        self._pressure = 0.0
        self._moved_at = 0.0

    def move(self, rng: Random, now: float, weather: Weather) -> float:
        """The price at the moment `now`; a coin that rested for ten moments makes up for ten."""
        moments = now - self._moved_at
        self._moved_at = now
        wander = rng.gauss(0.0, 1.0) * VOLATILITY * weather.volatility * math.sqrt(moments)
        self._distance += self._coin.wildness * (wander + weather.drift * moments)
        self._distance *= max(0.0, 1.0 - REVERSION * moments)
        self._pressure /= 2
        self._distance += self._pressure
        return self._coin.anchor * math.exp(self._distance)

    def push(self, value: float) -> None:
        """A forced order of `value` USD (negative: a sale) moves the next prices: cascades feed on it."""
        self._pressure += max(-0.004, min(0.004, value / (400.0 * self._coin.depth)))
