"""The market of one coin: mark price and open positions."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from random import Random

from realtime.sources.simulator.instruments import Instrument
from realtime.sources.simulator.positions import SimPosition
from realtime.sources.simulator.wallets import Wallet

# A position summary holds all positions in one message: 800 positions take about 200 KB.
MAX_POSITIONS_PER_COIN = 800
NO_PRICE_BELOW = Decimal(-1)
NO_PRICE_ABOVE = Decimal(10**18)


class CoinMarket:
    """Positions by address, in order of opening.

    External counterparties take the other side of many trades, so the positions of the simulated wallets need not
    balance. `external_size` and `external_cost` are their net position.
    """

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.lot = instrument.lot
        self.mark = instrument.price(instrument.anchor)
        self.maintenance_ratio = instrument.maintenance_ratio
        self.positions: dict[str, SimPosition] = {}
        self.external_size = self.external_cost = Decimal(0)
        self.sentiment = 0.0
        self._nearest_below = NO_PRICE_BELOW
        self._nearest_above = NO_PRICE_ABOVE

    @property
    def is_full(self) -> bool:
        return len(self.positions) >= MAX_POSITIONS_PER_COIN

    def leverage(self, wallet: Wallet) -> int:
        """The leverage of a position that this wallet opens in this coin."""
        return 1 + int(wallet.risk_appetite * (self.instrument.max_leverage - 1) + 0.5)

    def round_to_lots(self, size: Decimal) -> Decimal:
        """`size` rounded down to a multiple of the lot size."""
        return size // self.lot * self.lot

    def open(self, wallet: Wallet, *, can_be_liquidated: bool) -> SimPosition:
        position = SimPosition(self.leverage(wallet), self.maintenance_ratio if can_be_liquidated else None)
        self.positions[wallet.address] = position
        return position

    def refresh(self, address: str) -> None:
        """After a trade: removes a closed position, or includes its liquidation price in the nearest prices."""
        position = self.positions[address]
        if not position.size:
            del self.positions[address]
        else:
            self._track_liquidation_price(position)

    def liquidatable(self) -> list[str]:
        """Addresses whose liquidation price the mark has reached; the caller liquidates all of them.

        Stores a bound for the nearest liquidation price on each side of the mark. A bound may be too near, never too
        far. Most price moves need two comparisons; a bound that is too near costs one scan of all positions.
        """
        if self._nearest_below < self.mark < self._nearest_above:
            return []
        self._nearest_below, self._nearest_above = NO_PRICE_BELOW, NO_PRICE_ABOVE
        addresses = []
        for address, position in self.positions.items():
            if position.is_liquidatable(self.mark):
                addresses.append(address)
            else:
                self._track_liquidation_price(position)
        return addresses

    def random_holder(self, rng: Random) -> str:
        return next(islice(self.positions, rng.randrange(len(self.positions)), None))

    def position_values(self) -> Iterator[tuple[SimPosition, Decimal]]:
        """Each position with its value in USD at the mark price."""
        for position in self.positions.values():
            yield position, abs(position.size) * self.mark

    def _track_liquidation_price(self, position: SimPosition) -> None:
        price = position.liquidation_price
        if price is None:
            return
        if position.size > 0:
            self._nearest_below = max(self._nearest_below, price)
        else:
            self._nearest_above = min(self._nearest_above, price)
