"""The matching: every trade has two sides, the taker's and the maker's, at the mark price."""

from decimal import Decimal
from hashlib import blake2b
from random import Random
from typing import NamedTuple

from realtime.sources.simulator.coin_market import Book
from realtime.sources.simulator.positions import ZERO, PositionChange, SimPosition
from realtime.sources.simulator.wallets import Wallet

# The venue's lowest tier (Hyperliquid docs, "Fees").
TAKER_FEE = Decimal("0.00045")
MAKER_FEE = Decimal("0.00015")
SIX_PLACES = Decimal("0.000001")
# A maker binds at most this part of its balance in one trade.
MAKER_SHARE = Decimal("0.3")


class Trade(NamedTuple):
    """What both parties' fills share; one order's fills share the hash, and the taker's the order id."""

    hash: str
    tid: int
    taker_oid: int
    maker_oid: int


class Fill(NamedTuple):
    """One party's side of a trade: `delta` and `start` are signed sizes, `margin` is what that size binds."""

    wallet: Wallet
    book: Book
    trade: Trade
    is_taker: bool
    delta: Decimal
    price: Decimal
    start: Decimal
    pnl: Decimal
    margin: Decimal
    leverage: int
    fee: Decimal


class SimLiquidation(NamedTuple):
    """A position taken away at the mark price. `liquidator` is None where the market took it (`method`
    "market"), else who took it over ("backstop")."""

    wallet: Wallet
    book: Book
    trade: Trade
    side: str
    size: Decimal
    price: Decimal
    leverage: int
    margin: Decimal
    pnl: Decimal
    fee: Decimal
    liquidator: Wallet | None


class Numbers:
    """Hashes and ids that follow from the run's name alone and never repeat within it."""

    def __init__(self, run: str) -> None:
        self._run = blake2b(run.encode(), digest_size=32)
        self._count = 0

    def hash(self, block: int) -> str:
        """The block's number stands in it where it stands in the venue's (hyperwatch/db/fields.py)."""
        self._count += 1
        digest = self._run.copy()
        digest.update(self._count.to_bytes(8, "big"))
        drawn = digest.hexdigest()
        return f"0x{drawn[:20]}04{block % 2**32:08x}{drawn[20:54]}"

    def trade(self, tx_hash: str, taker_oid: int) -> Trade:
        self._count += 1
        # An odd factor permutes the numbers below 2^50: looks drawn, as the venue's do, and cannot repeat.
        return Trade(tx_hash, self._count * 0x2545F4914F6CD % 2**50, taker_oid, self.oid())

    def oid(self) -> int:
        self._count += 1
        return self._count


class Exchange:
    """Fills orders; the returned fills are those of followed wallets, the crowd's are nobody's to tell."""

    def __init__(self, rng: Random, wallets: list[Wallet], vault: Wallet, run: str) -> None:
        self._rng = rng
        self._wallets = wallets
        self._vault = vault
        self._by_address = {wallet.address: wallet for wallet in [*wallets, vault]}
        self.numbers = Numbers(run)

    def wallet(self, address: str) -> Wallet:
        return self._by_address[address]

    def order(self, book: Book, taker: Wallet, delta: Decimal, block: int) -> list[Fill]:
        """A market order of the signed size `delta`, filled by one to three makers."""
        tx_hash, oid = self.numbers.hash(block), self.numbers.oid()
        fills = []
        for part in self._parts(book, delta):
            trade = self.numbers.trade(tx_hash, oid)
            fills.append(self._fill(book, taker, part, trade, is_taker=True))
            fills += self._make(book, taker, -part, trade)
        return fills

    def liquidate(self, book: Book, address: str, block: int) -> tuple[SimLiquidation, list[Fill]]:
        """Takes a position away: mostly by a market order, else the vault takes it over with its margin."""
        wallet, position = self.wallet(address), book.positions[address]
        trade = self.numbers.trade(self.numbers.hash(block), self.numbers.oid())
        size, side, margin, leverage = position.size, position.side, position.margin, position.leverage
        pnl = position.trade(-size, book.mark).pnl
        book.settle(address)
        is_backstop = self._rng.random() < 0.25
        fee = ZERO if is_backstop else (abs(size) * book.mark * TAKER_FEE).quantize(SIX_PLACES)
        # A bankrupt position's debt is the venue's; a backstop keeps what is left of the margin.
        wallet.balance += ZERO if is_backstop else max(ZERO, margin + pnl - fee)
        liquidator = self._vault if is_backstop else None
        fills = self._take_over(book, size, trade) if is_backstop else self._make(book, wallet, size, trade)
        return SimLiquidation(
            wallet, book, trade, side, abs(size), book.mark, leverage, margin, pnl, fee, liquidator
        ), fills

    def _take_over(self, book: Book, size: Decimal, trade: Trade) -> list[Fill]:
        return [self._fill(book, self._vault, size, trade, is_taker=False)]

    def _make(self, book: Book, taker: Wallet, delta: Decimal, trade: Trade) -> list[Fill]:
        """The maker's side: a wallet's that can afford it, or the crowd's."""
        maker = self._rng.choice(self._wallets)
        if self._rng.random() < 0.5 and maker is not taker and self._can_take(book, maker, delta):
            return [self._fill(book, maker, delta, trade, is_taker=False)]
        book.crowd_size += delta
        book.crowd_cost += delta * book.mark
        return []

    def _can_take(self, book: Book, maker: Wallet, delta: Decimal) -> bool:
        position = book.positions.get(maker.address)
        if position is None:
            leverage = 0 if book.is_full else book.leverage(maker)
        elif position.is_crossed(book.mark):
            # Its own liquidation comes in this very block, and must find it as it was.
            return False
        elif position.size * delta < 0 and abs(delta) <= abs(position.size):
            return True
        else:
            leverage = position.leverage
        return abs(delta) * book.mark <= maker.balance * MAKER_SHARE * leverage

    def _fill(self, book: Book, wallet: Wallet, delta: Decimal, trade: Trade, *, is_taker: bool) -> Fill:
        position = book.positions.get(wallet.address) or book.open(wallet, can_be_liquidated=wallet is not self._vault)
        start, price, leverage = position.size, book.mark, position.leverage
        change = _trade(position, delta, price)
        book.settle(wallet.address)
        value = abs(delta) * price
        fee = (value * (TAKER_FEE if is_taker else MAKER_FEE)).quantize(SIX_PLACES)
        wallet.balance += change.pnl - change.margin - fee
        margin = value / leverage
        return Fill(wallet, book, trade, is_taker, delta, price, start, change.pnl, margin, leverage, fee)

    def _parts(self, book: Book, delta: Decimal) -> list[Decimal]:
        parts: list[Decimal] = []
        while self._rng.random() < 0.25 and len(parts) < 2:
            part = book.lots(abs(delta) / 2).copy_sign(delta)
            if not part:
                break
            parts.append(part)
            delta -= part
        return [*parts, delta]


def _trade(position: SimPosition, delta: Decimal, price: Decimal) -> PositionChange:
    """One fill's effect; a flip closes the position and opens the other side."""
    if position.size * delta >= 0 or abs(delta) <= abs(position.size):
        return position.trade(delta, price)
    rest = position.size + delta
    closed, opened = position.trade(-position.size, price), position.trade(rest, price)
    return PositionChange(closed.pnl, closed.margin + opened.margin)
