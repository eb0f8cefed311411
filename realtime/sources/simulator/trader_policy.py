"""Trading decisions of the simulated wallets."""

import math
from decimal import Decimal
from random import Random

from realtime.sources.simulator.coin_market import CoinMarket
from realtime.sources.simulator.positions import ZERO, SimPosition
from realtime.sources.simulator.wallets import Wallet

HUNDRED = Decimal(100)
# From a loss of this share of the margin a wallet tends to hold or increase the position.
LOSS_SHARE_OF_MARGIN = Decimal("-0.25")


def decide(rng: Random, wallet: Wallet, market: CoinMarket) -> Decimal:
    """The signed size of the wallet's next order in `market`; zero for no order."""
    position = market.positions.get(wallet.address)
    if position is None:
        return ZERO if market.is_full else _opening_size(rng, wallet, market)
    draw = rng.random()
    if _is_losing(position, market.mark) and draw < 0.6:
        return ZERO if draw < 0.25 else _increase(rng, wallet, market, position)
    if draw < 0.5:
        return -position.size
    if draw < 0.7:
        return -market.round_to_lots(position.size * rng.randint(10, 90) / HUNDRED)
    if draw < 0.9:
        return _increase(rng, wallet, market, position)
    return -position.size - market.round_to_lots(position.size * rng.randint(30, 120) / HUNDRED)


def reduce_inventory(rng: Random, market: CoinMarket, position: SimPosition) -> Decimal:
    """The vault's order: closes its position in parts of 20 to 60 %, and the last 1,000 USD at once."""
    part = market.round_to_lots(position.size * rng.randint(20, 60) / HUNDRED)
    return -part if abs(part) * market.mark > 1_000 else -position.size


def next_sentiment(rng: Random, sentiment: float) -> float:
    """Autoregressive bias of a coin's new positions; positive favours longs."""
    return sentiment * 0.999 + rng.gauss(0.0, 0.03)


def _opening_size(rng: Random, wallet: Wallet, market: CoinMarket) -> Decimal:
    size = _affordable_size(rng, wallet, market, market.leverage(wallet))
    return size if rng.random() < 0.5 + 0.3 * math.tanh(market.sentiment) else -size


def _increase(rng: Random, wallet: Wallet, market: CoinMarket, position: SimPosition) -> Decimal:
    size = min(_affordable_size(rng, wallet, market, position.leverage), market.round_to_lots(abs(position.size)))
    return size.copy_sign(position.size)


def _affordable_size(rng: Random, wallet: Wallet, market: CoinMarket, leverage: int) -> Decimal:
    """A size for 5 to 30 % of the balance as margin, limited by the depth of the market."""
    value = max(ZERO, wallet.balance) * rng.randint(5, 30) / HUNDRED * leverage
    return market.round_to_lots(min(value, market.instrument.depth * rng.randint(5, 100) / HUNDRED) / market.mark)


def _is_losing(position: SimPosition, mark: Decimal) -> bool:
    return position.unrealized_pnl(mark) < LOSS_SHARE_OF_MARGIN * position.margin
