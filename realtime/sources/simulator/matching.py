"""Order matching: each trade has a taker and a maker, at the mark price."""

from decimal import Decimal
from hashlib import blake2b
from random import Random
from typing import NamedTuple

from realtime.sources.simulator.coin_market import CoinMarket
from realtime.sources.simulator.positions import ZERO, PositionChange, SimPosition
from realtime.sources.simulator.wallets import Wallet

# The venue's lowest tier (Hyperliquid docs, "Fees").
TAKER_FEE = Decimal("0.00045")
MAKER_FEE = Decimal("0.00015")
SIX_PLACES = Decimal("0.000001")
# The margin of one trade takes at most this share of the maker's balance.
MAX_MAKER_BALANCE_SHARE = Decimal("0.3")


class Trade(NamedTuple):
    """Ids that both parties' fills share. All fills of one order have the same hash and taker order id."""

    hash: str
    tid: int
    taker_oid: int
    maker_oid: int


class Fill(NamedTuple):
    """One party's side of a trade. `delta` and `start_size` are signed sizes, `margin` is the margin of `delta`."""

    wallet: Wallet
    market: CoinMarket
    trade: Trade
    is_taker: bool
    delta: Decimal
    price: Decimal
    start_size: Decimal
    pnl: Decimal
    margin: Decimal
    leverage: int
    fee: Decimal


class SimLiquidation(NamedTuple):
    """A position liquidated at the mark price.

    `liquidator` is None for a liquidation by market order (`method` "market"), else the wallet that took the
    position over ("backstop").
    """

    wallet: Wallet
    market: CoinMarket
    trade: Trade
    side: str
    size: Decimal
    price: Decimal
    leverage: int
    margin: Decimal
    pnl: Decimal
    fee: Decimal
    liquidator: Wallet | None


class IdGenerator:
    """Hashes and ids derived from the name of the run, without repeats in a run."""

    def __init__(self, run: str) -> None:
        self._run = blake2b(run.encode(), digest_size=32)
        self._count = 0

    def hash(self, block: int) -> str:
        """Encodes the block number at the same position as the venue does (hyperwatch/db/fields.py)."""
        self._count += 1
        digest = self._run.copy()
        digest.update(self._count.to_bytes(8, "big"))
        digits = digest.hexdigest()
        return f"0x{digits[:20]}04{block % 2**32:08x}{digits[20:54]}"

    def trade(self, tx_hash: str, taker_oid: int) -> Trade:
        self._count += 1
        # Multiplication by an odd factor permutes the integers below 2^50: irregular like the venue's ids, no repeats.
        return Trade(tx_hash, self._count * 0x2545F4914F6CD % 2**50, taker_oid, self.oid())

    def oid(self) -> int:
        self._count += 1
        return self._count


class Exchange:
    """Fills orders. Returns the fills of the simulated wallets only, not those of external counterparties."""

    def __init__(self, rng: Random, wallets: list[Wallet], vault: Wallet, run: str) -> None:
        self._rng = rng
        self._wallets = wallets
        self._vault = vault
        self._by_address = {wallet.address: wallet for wallet in [*wallets, vault]}
        self.ids = IdGenerator(run)

    def wallet(self, address: str) -> Wallet:
        return self._by_address[address]

    def order(self, market: CoinMarket, taker: Wallet, delta: Decimal, block: int) -> list[Fill]:
        """A market order of the signed size `delta`, filled by one to three makers."""
        tx_hash, oid = self.ids.hash(block), self.ids.oid()
        fills = []
        for part in self._split_order(market, delta):
            trade = self.ids.trade(tx_hash, oid)
            fills.append(self._fill(market, taker, part, trade, is_taker=True))
            fills += self._fill_maker(market, taker, -part, trade)
        return fills

    def liquidate(self, market: CoinMarket, address: str, block: int) -> tuple[SimLiquidation, list[Fill]]:
        """Liquidates a position: three in four by market order, else the vault takes it over with its margin."""
        wallet, position = self.wallet(address), market.positions[address]
        trade = self.ids.trade(self.ids.hash(block), self.ids.oid())
        size, side, margin, leverage = position.size, position.side, position.margin, position.leverage
        pnl = position.trade(-size, market.mark).pnl
        market.refresh(address)
        is_backstop = self._rng.random() < 0.25
        fee = ZERO if is_backstop else (abs(size) * market.mark * TAKER_FEE).quantize(SIX_PLACES)
        # The venue bears the debt of a bankrupt position; in a backstop the venue keeps the remaining margin.
        wallet.balance += ZERO if is_backstop else max(ZERO, margin + pnl - fee)
        liquidator = self._vault if is_backstop else None
        fills = self._fill_vault(market, size, trade) if is_backstop else self._fill_maker(market, wallet, size, trade)
        return SimLiquidation(
            wallet, market, trade, side, abs(size), market.mark, leverage, margin, pnl, fee, liquidator
        ), fills

    def _fill_vault(self, market: CoinMarket, size: Decimal, trade: Trade) -> list[Fill]:
        return [self._fill(market, self._vault, size, trade, is_taker=False)]

    def _fill_maker(self, market: CoinMarket, taker: Wallet, delta: Decimal, trade: Trade) -> list[Fill]:
        """Fills the maker's side by a wallet with enough balance, else by an external counterparty."""
        maker = self._rng.choice(self._wallets)
        if self._rng.random() < 0.5 and maker is not taker and self._can_fill(market, maker, delta):
            return [self._fill(market, maker, delta, trade, is_taker=False)]
        market.external_size += delta
        market.external_cost += delta * market.mark
        return []

    def _can_fill(self, market: CoinMarket, maker: Wallet, delta: Decimal) -> bool:
        position = market.positions.get(maker.address)
        if position is None:
            leverage = 0 if market.is_full else market.leverage(maker)
        elif position.is_liquidatable(market.mark):
            # Its liquidation follows in the same block and needs the position unchanged.
            return False
        elif position.size * delta < 0 and abs(delta) <= abs(position.size):
            return True
        else:
            leverage = position.leverage
        return abs(delta) * market.mark <= maker.balance * MAX_MAKER_BALANCE_SHARE * leverage

    def _fill(self, market: CoinMarket, wallet: Wallet, delta: Decimal, trade: Trade, *, is_taker: bool) -> Fill:
        position = market.positions.get(wallet.address) or market.open(
            wallet, can_be_liquidated=wallet is not self._vault
        )
        start_size, price, leverage = position.size, market.mark, position.leverage
        change = _trade(position, delta, price)
        market.refresh(wallet.address)
        value = abs(delta) * price
        fee = (value * (TAKER_FEE if is_taker else MAKER_FEE)).quantize(SIX_PLACES)
        wallet.balance += change.pnl - change.margin - fee
        margin = value / leverage
        return Fill(wallet, market, trade, is_taker, delta, price, start_size, change.pnl, margin, leverage, fee)

    def _split_order(self, market: CoinMarket, delta: Decimal) -> list[Decimal]:
        parts: list[Decimal] = []
        while self._rng.random() < 0.25 and len(parts) < 2:
            part = market.round_to_lots(abs(delta) / 2).copy_sign(delta)
            if not part:
                break
            parts.append(part)
            delta -= part
        return [*parts, delta]


def _trade(position: SimPosition, delta: Decimal, price: Decimal) -> PositionChange:
    """Applies one fill; a flip closes the position and opens the opposite side."""
    if position.size * delta >= 0 or abs(delta) <= abs(position.size):
        return position.trade(delta, price)
    remainder = position.size + delta
    closed, opened = position.trade(-position.size, price), position.trade(remainder, price)
    return PositionChange(closed.pnl, closed.margin + opened.margin)
