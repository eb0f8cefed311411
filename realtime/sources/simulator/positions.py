"""Leveraged position with isolated margin: entry price, profit and loss, liquidation price."""

from decimal import Decimal
from typing import NamedTuple

EIGHT_PLACES = Decimal("0.00000001")
ZERO = Decimal(0)


class PositionChange(NamedTuple):
    """Effect of a fill on the owner: realised profit, and margin added (negative: released)."""

    pnl: Decimal
    margin: Decimal


class SimPosition:
    """Position of one wallet in one coin; `size` and `cost` (size at the prices paid) are negative for a short.

    `liquidation_price` is None if no price leads to a liquidation. A partial close rounds the remaining cost and
    margin to eight places; the closed part is the exact difference. Over all parties profits and losses therefore
    cancel exactly.
    """

    __slots__ = ("cost", "leverage", "liquidation_price", "maintenance_ratio", "margin", "size")

    def __init__(self, leverage: int, maintenance_ratio: Decimal | None) -> None:
        self.size = self.cost = self.margin = ZERO
        self.leverage = leverage
        self.maintenance_ratio = maintenance_ratio
        self.liquidation_price: Decimal | None = None

    @property
    def is_long(self) -> bool:
        return self.size > 0

    @property
    def side(self) -> str:
        return "LONG" if self.size > 0 else "SHORT"

    @property
    def entry_price(self) -> Decimal:
        return self.cost / self.size

    def unrealized_pnl(self, mark: Decimal) -> Decimal:
        return self.size * mark - self.cost

    def is_liquidatable(self, mark: Decimal) -> bool:
        if self.liquidation_price is None:
            return False
        return mark <= self.liquidation_price if self.size > 0 else mark >= self.liquidation_price

    def trade(self, delta: Decimal, price: Decimal) -> PositionChange:
        """Opens, adds, reduces or closes by the signed size `delta`; a flip is two trades."""
        change = self._add(delta, price) if self.size * delta >= 0 else self._reduce(delta, price)
        self.liquidation_price = self._liquidation_price()
        return change

    def _add(self, delta: Decimal, price: Decimal) -> PositionChange:
        margin = (abs(delta) * price / self.leverage).quantize(EIGHT_PLACES)
        self.size += delta
        self.cost += delta * price
        self.margin += margin
        return PositionChange(ZERO, margin)

    def _reduce(self, delta: Decimal, price: Decimal) -> PositionChange:
        remaining_share = (self.size + delta) / self.size
        cost = (self.cost * remaining_share).quantize(EIGHT_PLACES)
        margin = (self.margin * remaining_share).quantize(EIGHT_PLACES)
        change = PositionChange(-delta * price - (self.cost - cost), margin - self.margin)
        self.size += delta
        self.cost, self.margin = cost, margin
        return change

    def _liquidation_price(self) -> Decimal | None:
        """The price at which the remaining margin equals the maintenance margin.

        Hyperliquid docs, "Liquidations": liq_price = price - side × margin_available / position_size /
        (1 - l × side), with side 1 for a long and -1 for a short, l the maintenance ratio, and for isolated
        margin margin_available = isolated_margin - maintenance margin. The formula holds at any price; at the entry
        price, with cost = side × size × entry, it reduces to the expression below.
        """
        if self.maintenance_ratio is None or not self.size:
            return None
        price = (self.cost - self.margin) / (self.size - self.maintenance_ratio * abs(self.size))
        return price if price > 0 else None
