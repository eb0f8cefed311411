"""The simulator: an endless sequence of messages."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from realtime.sources.simulator import derived_messages, message_builder, trader_policy
from realtime.sources.simulator.coin_market import MAX_POSITIONS_PER_COIN, CoinMarket
from realtime.sources.simulator.instruments import INSTRUMENTS
from realtime.sources.simulator.matching import Exchange
from realtime.sources.simulator.message_builder import Block, Kind, OutgoingMessage
from realtime.sources.simulator.positions import SimPosition
from realtime.sources.simulator.prices import PricePath, RegimeProcess
from realtime.sources.simulator.schedule import Schedule
from realtime.sources.simulator.wallets import WHALE_COUNT, Wallet, make_vault, make_wallets

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Messages per simulated second at unlimited speed: more than the generator can produce, so simulated time never
# overtakes real time.
UNLIMITED_RATE = 100_000.0
# Below the threshold of a large trade, one million USD.
MAX_TRANSFER_USD = Decimal(900_000)
# Number of positions (active wallets per coin × coins) at which one block is one unit of time in prices.py.
REFERENCE_POSITIONS = 1_200
MAX_WARM_UP_BLOCKS = 15_000
DEFAULT_COINS = 12
DEFAULT_WALLETS = 200


class MarketSimulator:
    """Simulates prices, trades and liquidations from a seed and a start time.

    Equal seed, start, coins, wallets and rate give equal messages, byte for byte, in any process.
    Raises ValueError for an invalid number of coins or wallets.
    """

    def __init__(
        self, *, seed: int, start: datetime, coins: int = DEFAULT_COINS, wallets: int = DEFAULT_WALLETS
    ) -> None:
        if not 1 <= coins <= len(INSTRUMENTS):
            raise ValueError(f"the simulator takes 1 to {len(INSTRUMENTS)} coins, not {coins}")
        if wallets < 2:
            raise ValueError(f"the simulator takes 2 or more wallets, not {wallets}")
        self._start_ms = (start - EPOCH) // timedelta(milliseconds=1)
        run = f"{seed} {self._start_ms}"
        self._rng = Random(run)  # noqa: S311 (no secret: reproducible by seed)
        self._wallets = make_wallets(self._rng, seed, wallets)
        self._vault = make_vault(seed)
        self.exchange = Exchange(self._rng, self._wallets, self._vault, run)
        self.coin_markets = [CoinMarket(coin) for coin in INSTRUMENTS[:coins]]
        self._paths = {market: PricePath(market.instrument) for market in self.coin_markets}
        self._weights = list(itertools.accumulate(market.instrument.activity for market in self.coin_markets))
        self._regimes = RegimeProcess(self._rng)
        self._active_wallets = max(2, min(wallets // 2, MAX_POSITIONS_PER_COIN * 3 // 4))
        self._time_step = REFERENCE_POSITIONS / (self._active_wallets * coins)
        self._block_number = 0
        self._time_us = 0
        self._warm_up()

    @property
    def vault_address(self) -> str:
        return self._vault.address

    @property
    def whales(self) -> list[tuple[str, str]]:
        """(address, alias) of the wallets with the most capital, which the demo adds to the watch list."""
        return [(w.address, f"Simulated whale {n}") for n, w in enumerate(self._wallets[:WHALE_COUNT], start=1)]

    def positions(self) -> dict[tuple[str, str], SimPosition]:
        """Open positions by (coin, address)."""
        return {
            (market.instrument.name, address): position
            for market in self.coin_markets
            for address, position in market.positions.items()
        }

    def messages(self, rate: float = UNLIMITED_RATE) -> Iterator[OutgoingMessage]:
        """Endless; `rate` is the average number of messages per simulated second."""
        return itertools.chain.from_iterable(self.blocks(rate))

    def blocks(self, rate: float = UNLIMITED_RATE) -> Iterator[list[OutgoingMessage]]:
        """Yields the messages of each block; `positions` are those after the block until the next one is taken.

        The mean interval after a block is proportional to the number of its messages.
        """
        schedule = Schedule(len(self.coin_markets))
        while True:
            block = self._block()
            messages = [*self._derived_messages(schedule, block), *self._block_messages(block)]
            yield messages
            self._time_us += int(self._rng.expovariate(1.0) * len(messages) * 1_000_000 / rate)

    def _block(self) -> Block:
        self._block_number += 1
        return Block.at(self._block_number, self._start_ms, self._time_us)

    def _derived_messages(self, schedule: Schedule, block: Block) -> Iterator[OutgoingMessage]:
        for kind, number in schedule.due(block.time_us):
            message = derived_messages.message(kind, self.coin_markets[number], block)
            if message is not None:
                yield message

    def _block_messages(self, block: Block) -> Iterator[OutgoingMessage]:
        """Moves the price of one coin, liquidates the positions that it reached, and lets one wallet trade."""
        market = self._move_price()
        yield from self._liquidate(market, block)
        wallet = self._next_trader(market)
        yield from self._transfer_money(wallet, block)
        delta = self._decide(wallet, market)
        if delta:
            for fill in self.exchange.order(market, wallet, delta, block.number):
                yield message_builder.order(fill, block)

    def _move_price(self) -> CoinMarket:
        self._regimes.advance(self._time_step)
        market = self._rng.choices(self.coin_markets, cum_weights=self._weights)[0]
        market.mark = market.instrument.price(
            self._paths[market].advance(self._rng, self._block_number * self._time_step, self._regimes.current)
        )
        market.sentiment = trader_policy.next_sentiment(self._rng, market.sentiment)
        return market

    def _liquidate(self, market: CoinMarket, block: Block) -> Iterator[OutgoingMessage]:
        for address in market.liquidatable():
            liquidated, fills = self.exchange.liquidate(market, address, block.number)
            value = float(liquidated.size * liquidated.price)
            self._paths[market].add_pressure(-value if liquidated.side == "LONG" else value)
            by_transaction = self._rng.random() < 0.3
            yield (message_builder.liquidation_transaction if by_transaction else message_builder.liquidation)(
                liquidated, block
            )
            for fill in fills:
                yield message_builder.order(fill, block)

    def _next_trader(self, market: CoinMarket) -> Wallet:
        draw = self._rng.random()
        if draw < 0.15 and self._vault.address in market.positions:
            return self._vault
        if draw > 0.94:
            return self._rng.choice(self._wallets[:WHALE_COUNT])
        # The share of trades by holders grows with the number of open positions.
        if market.positions and self._rng.random() < len(market.positions) / self._active_wallets:
            return self.exchange.wallet(market.random_holder(self._rng))
        return self._rng.choice(self._wallets)

    def _decide(self, wallet: Wallet, market: CoinMarket) -> Decimal:
        if wallet is self._vault:
            position = market.positions.get(wallet.address)
            return trader_policy.reduce_inventory(self._rng, market, position) if position else Decimal(0)
        return trader_policy.decide(self._rng, wallet, market)

    def _transfer_money(self, wallet: Wallet, block: Block) -> Iterator[OutgoingMessage]:
        """A deposit after a loss of 80 % of the capital, a withdrawal after the balance has doubled."""
        surplus = wallet.balance - wallet.capital
        if wallet is self._vault or wallet.capital * Decimal("-0.8") < surplus < wallet.capital:
            return
        amount = min(abs(surplus), MAX_TRANSFER_USD).quantize(Decimal("0.01"))
        kind = Kind.DEPOSIT if surplus < 0 else Kind.WITHDRAW
        wallet.balance += amount if kind is Kind.DEPOSIT else -amount
        yield message_builder.transfer(kind, wallet, amount, self.exchange.ids.hash(block.number), block)

    def _warm_up(self) -> None:
        """Opens positions before the first message, so the first summaries and maps contain data."""
        block = self._block()
        for _ in range(min(5 * self._active_wallets * len(self.coin_markets), MAX_WARM_UP_BLOCKS)):
            self._block_number += 1
            for _message in self._block_messages(block):
                pass
