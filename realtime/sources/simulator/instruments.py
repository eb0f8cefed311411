"""Instruments of the simulated exchange: names, leverages and size decimals as in the venue's `meta` response.

`anchor` is the start and mean-reversion price of an instrument, not a quote. PURR/USDC is a margined pair here, to
send a name with a slash through all stages.
"""

from decimal import Decimal
from typing import NamedTuple

MAX_DECIMALS = 6
PLACES = [Decimal(1).scaleb(-places) for places in range(MAX_DECIMALS + 1)]


class Instrument(NamedTuple):
    """One instrument.

    `depth` is the largest order value in USD, `activity` the weight in the choice of the next trade.
    `volatility_factor` is the volatility relative to BTC.
    """

    name: str
    anchor: float
    max_leverage: int
    size_decimals: int
    depth: int
    activity: int
    volatility_factor: float

    @property
    def tick(self) -> Decimal:
        return PLACES[MAX_DECIMALS - self.size_decimals]

    @property
    def lot(self) -> Decimal:
        return PLACES[self.size_decimals]

    @property
    def maintenance_ratio(self) -> Decimal:
        """Half of the initial margin at the highest leverage (Hyperliquid docs, "Liquidations")."""
        return 1 / Decimal(2 * self.max_leverage)

    def price(self, unrounded: float) -> Decimal:
        """Rounds to a valid price: five significant figures, at most six decimals minus the size decimals.

        Source: Hyperliquid docs, "Tick and lot size".
        """
        tick = self.tick
        return max(tick, Decimal(f"{unrounded:.5g}").quantize(tick))


INSTRUMENTS = (
    Instrument("BTC", 84_133, 40, 5, 6_000_000, 30, 1.0),
    Instrument("ETH", 2_912, 25, 4, 4_000_000, 20, 1.2),
    Instrument("SOL", 131, 20, 2, 2_500_000, 14, 1.5),
    Instrument("HYPE", 31.4, 10, 2, 2_500_000, 14, 1.8),
    Instrument("XRP", 1.93, 20, 0, 1_500_000, 7, 1.5),
    Instrument("kPEPE", 0.00541, 10, 0, 600_000, 6, 2.2),
    Instrument("xyz:NVDA", 179.2, 20, 3, 1_500_000, 6, 0.8),
    Instrument("PURR/USDC", 0.0871, 3, 0, 200_000, 3, 2.4),
    Instrument("DOGE", 0.131, 10, 0, 900_000, 5, 1.8),
    Instrument("FARTCOIN", 0.312, 10, 1, 500_000, 5, 2.6),
    Instrument("0G", 0.92, 3, 0, 200_000, 3, 2.2),
    Instrument("xyz:GOLD", 4_411, 20, 4, 1_500_000, 4, 0.6),
    Instrument("SUI", 1.44, 10, 1, 700_000, 4, 1.9),
    Instrument("LINK", 12.6, 10, 1, 600_000, 4, 1.6),
    Instrument("AVAX", 12.9, 10, 2, 600_000, 4, 1.7),
    Instrument("ENA", 0.214, 10, 0, 400_000, 4, 2.3),
    Instrument("kBONK", 0.00871, 10, 0, 300_000, 3, 2.3),
    Instrument("PUMP", 0.00243, 10, 0, 400_000, 4, 2.5),
    Instrument("AAVE", 111.1, 10, 2, 400_000, 3, 1.7),
    Instrument("BNB", 861, 10, 3, 700_000, 3, 1.1),
    Instrument("LTC", 78.4, 10, 2, 400_000, 3, 1.3),
    Instrument("WLD", 0.523, 10, 1, 300_000, 3, 2.1),
    Instrument("ZEC", 431, 10, 2, 500_000, 4, 2.4),
    Instrument("TAO", 243, 5, 3, 300_000, 3, 2.0),
    Instrument("PENGU", 0.00731, 5, 0, 200_000, 3, 2.5),
    Instrument("OP", 0.241, 5, 1, 200_000, 2, 1.9),
    Instrument("WIF", 0.342, 5, 0, 200_000, 2, 2.4),
    Instrument("kSHIB", 0.00793, 10, 0, 300_000, 2, 1.8),
    Instrument("xyz:TSLA", 389.2, 10, 3, 900_000, 3, 1.0),
    Instrument("PAXG", 4_409, 10, 3, 400_000, 2, 0.6),
)
