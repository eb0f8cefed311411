"""One coin's market: the mark price and who holds what."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from random import Random

from realtime.sources.simulator.instruments import Instrument
from realtime.sources.simulator.positions import SimPosition
from realtime.sources.simulator.wallets import Wallet

# A position summary is complete, in one message: 800 positions are some 200 KB of it.
MOST_POSITIONS = 800
NEVER_FALLS_TO = Decimal(-1)
NEVER_RISES_TO = Decimal(10**18)


class Book:
    """Positions by address, in the order in which they were opened.

    The crowd is everybody whom nobody follows: it takes the other side of many trades, so that what the
    followed wallets hold need not balance; `crowd_size` and `crowd_cost` are its net position.
    """

    def __init__(self, coin: Instrument) -> None:
        self.coin = coin
        self.lot = coin.lot
        self.mark = coin.price(coin.anchor)
        self.maintenance_ratio = coin.maintenance_ratio
        self.positions: dict[str, SimPosition] = {}
        self.crowd_size = self.crowd_cost = Decimal(0)
        self.mood = 0.0
        self._nearest_below = NEVER_FALLS_TO
        self._nearest_above = NEVER_RISES_TO

    @property
    def is_full(self) -> bool:
        return len(self.positions) >= MOST_POSITIONS

    def leverage(self, wallet: Wallet) -> int:
        """The leverage that this wallet sets when it opens a position here."""
        return 1 + int(wallet.boldness * (self.coin.max_leverage - 1) + 0.5)

    def lots(self, size: Decimal) -> Decimal:
        """`size` rounded down to what can be traded."""
        return size // self.lot * self.lot

    def open(self, wallet: Wallet, *, can_be_liquidated: bool) -> SimPosition:
        position = SimPosition(self.leverage(wallet), self.maintenance_ratio if can_be_liquidated else None)
        self.positions[wallet.address] = position
        return position

    def settle(self, address: str) -> None:
        """After a trade: forgets a closed position, or watches its liquidation price."""
        position = self.positions[address]
        if not position.size:
            del self.positions[address]
        else:
            self._watch(position)

    def crossed(self) -> list[str]:
        """Whose liquidation price the mark has reached; the caller takes all of their positions away.

        The nearest prices on both sides are kept, never too far and sometimes too near: most moves are
        answered by two comparisons, and a price that is too near costs one look at all positions.
        """
        if self._nearest_below < self.mark < self._nearest_above:
            return []
        self._nearest_below, self._nearest_above = NEVER_FALLS_TO, NEVER_RISES_TO
        doomed = []
        for address, position in self.positions.items():
            if position.is_crossed(self.mark):
                doomed.append(address)
            else:
                self._watch(position)
        return doomed

    def any_holder(self, rng: Random) -> str:
        return next(islice(self.positions, rng.randrange(len(self.positions)), None))

    def valued(self) -> Iterator[tuple[SimPosition, Decimal]]:
        """Each position with its value in USD at the mark price."""
        for position in self.positions.values():
            yield position, abs(position.size) * self.mark

    def _watch(self, position: SimPosition) -> None:
        price = position.liquidation_price
        if price is None:
            return
        if position.size > 0:
            self._nearest_below = max(self._nearest_below, price)
        else:
            self._nearest_above = min(self._nearest_above, price)
