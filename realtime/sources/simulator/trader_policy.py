"""What wallets decide to do next."""

import math
from decimal import Decimal
from random import Random

from realtime.sources.simulator.coin_market import Book
from realtime.sources.simulator.positions import ZERO, SimPosition
from realtime.sources.simulator.wallets import Wallet

HUNDRED = Decimal(100)
# Who has lost this part of the margin tends to hold on, and to add.
LOSING = Decimal("-0.25")


def decide(rng: Random, wallet: Wallet, book: Book) -> Decimal:
    """The signed size of this wallet's next order in `book`; zero where it sits still."""
    position = book.positions.get(wallet.address)
    if position is None:
        return ZERO if book.is_full else _opening(rng, wallet, book)
    draw = rng.random()
    if _is_losing(position, book.mark) and draw < 0.6:
        return ZERO if draw < 0.25 else _more(rng, wallet, book, position)
    if draw < 0.5:
        return -position.size
    if draw < 0.7:
        return -book.lots(position.size * rng.randint(10, 90) / HUNDRED)
    if draw < 0.9:
        return _more(rng, wallet, book, position)
    return -position.size - book.lots(position.size * rng.randint(30, 120) / HUNDRED)


def reduce_inventory(rng: Random, book: Book, position: SimPosition) -> Decimal:
    """The vault's order: it wants to hold nothing, and sells what the market takes."""
    part = book.lots(position.size * rng.randint(20, 60) / HUNDRED)
    return -part if abs(part) * book.mark > 1_000 else -position.size


def drift_of_mood(rng: Random, mood: float) -> float:
    """Most of a coin's traders lean one way for a while; above zero to the long side."""
    return mood * 0.999 + rng.gauss(0.0, 0.03)


def _opening(rng: Random, wallet: Wallet, book: Book) -> Decimal:
    size = _affordable(rng, wallet, book, book.leverage(wallet))
    return size if rng.random() < 0.5 + 0.3 * math.tanh(book.mood) else -size


def _more(rng: Random, wallet: Wallet, book: Book, position: SimPosition) -> Decimal:
    size = min(_affordable(rng, wallet, book, position.leverage), book.lots(abs(position.size)))
    return size.copy_sign(position.size)


def _affordable(rng: Random, wallet: Wallet, book: Book, leverage: int) -> Decimal:
    """Some of the balance as margin, within what the market bears."""
    value = max(ZERO, wallet.balance) * rng.randint(5, 30) / HUNDRED * leverage
    return book.lots(min(value, book.coin.depth * rng.randint(5, 100) / HUNDRED) / book.mark)


def _is_losing(position: SimPosition, mark: Decimal) -> bool:
    return position.unrealized_pnl(mark) < LOSING * position.margin
