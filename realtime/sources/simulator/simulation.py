"""The simulated market as an endless run of messages."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

from realtime.sources.simulator import derived_messages, message_builder, trader_policy
from realtime.sources.simulator.coin_market import MOST_POSITIONS, Book
from realtime.sources.simulator.instruments import INSTRUMENTS
from realtime.sources.simulator.matching import Exchange
from realtime.sources.simulator.message_builder import Block, Kind, OutgoingMessage
from realtime.sources.simulator.positions import SimPosition
from realtime.sources.simulator.prices import Path, Sky
from realtime.sources.simulator.schedule import Schedule
from realtime.sources.simulator.wallets import WHALES, Wallet, make_vault, make_wallets

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Messages for each simulated second where the generator shall go as fast as it can: more than it manages, so
# that its clock never overtakes the wall's.
FASTEST = 100_000.0
# Below a million, so that no movement of money looks like a large trade.
LARGEST_MOVEMENT = Decimal(900_000)
# Positions for which prices move as prices.py has it (busy wallets of a coin, times coins).
USUAL_POSITIONS = 1_200
LONGEST_WARM_UP = 15_000
DEFAULT_COINS = 12
DEFAULT_WALLETS = 200


class Market:
    """Wallets that trade, prices that move, positions that are taken away: all from a seed and a start time.

    The same seed, start, coins, wallets and rate give the same messages, byte for byte, in any process.
    Raises ValueError for numbers that cannot be.
    """

    def __init__(
        self, *, seed: int, start: datetime, coins: int = DEFAULT_COINS, wallets: int = DEFAULT_WALLETS
    ) -> None:
        if not 1 <= coins <= len(INSTRUMENTS):
            raise ValueError(f"the market has 1 to {len(INSTRUMENTS)} coins")
        if wallets < 2:
            raise ValueError("it takes two wallets to trade")
        self._start_ms = (start - EPOCH) // timedelta(milliseconds=1)
        run = f"{seed} {self._start_ms}"
        self._rng = Random(run)  # noqa: S311 (no secret: the same seed shall draw the same)
        self._people = make_wallets(self._rng, seed, wallets)
        self._vault = make_vault(seed)
        self.exchange = Exchange(self._rng, self._people, self._vault, run)
        self.books = [Book(coin) for coin in INSTRUMENTS[:coins]]
        self._paths = {book: Path(book.coin) for book in self.books}
        self._weights = list(itertools.accumulate(book.coin.activity for book in self.books))
        self._sky = Sky(self._rng)
        self._busy = max(2, min(wallets // 2, MOST_POSITIONS * 3 // 4))
        self._moments = USUAL_POSITIONS / (self._busy * coins)
        self._step = 0
        self._time_us = 0
        self._warm_up()

    @property
    def vault_address(self) -> str:
        return self._vault.address

    @property
    def whales(self) -> list[tuple[str, str]]:
        """(address, alias) of the richest wallets, which the demo watches."""
        return [(w.address, f"Simulated whale {n}") for n, w in enumerate(self._people[:WHALES], start=1)]

    def positions(self) -> dict[tuple[str, str], SimPosition]:
        """What is held now, by (coin, address)."""
        return {
            (book.coin.name, address): position for book in self.books for address, position in book.positions.items()
        }

    def messages(self, rate: float = FASTEST) -> Iterator[OutgoingMessage]:
        """Endless; `rate` is messages in each simulated second, on average."""
        return itertools.chain.from_iterable(self.blocks(rate))

    def blocks(self, rate: float = FASTEST) -> Iterator[list[OutgoingMessage]]:
        """What happens at one moment, together; while it is held, the market stands as it stands after it.

        The pause after a block is as long as what it held.
        """
        schedule = Schedule(len(self.books))
        while True:
            block = self._block()
            sent = [*self._due(schedule, block), *self._events(block)]
            yield sent
            self._time_us += int(self._rng.expovariate(1.0) * len(sent) * 1_000_000 / rate)

    def _block(self) -> Block:
        self._step += 1
        return Block.at(self._step, self._start_ms, self._time_us)

    def _due(self, schedule: Schedule, block: Block) -> Iterator[OutgoingMessage]:
        for kind, number in schedule.due(block.time_us):
            message = derived_messages.message(kind, self.books[number], block)
            if message is not None:
                yield message

    def _events(self, block: Block) -> Iterator[OutgoingMessage]:
        """One coin moves, what it crosses is taken away, and somebody trades."""
        book = self._move()
        yield from self._liquidate(book, block)
        wallet = self._next_trader(book)
        yield from self._balance(wallet, block)
        delta = self._decide(wallet, book)
        if delta:
            for fill in self.exchange.order(book, wallet, delta, block.number):
                yield message_builder.order(fill, block)

    def _move(self) -> Book:
        self._sky.pass_by(self._moments)
        book = self._rng.choices(self.books, cum_weights=self._weights)[0]
        book.mark = book.coin.price(self._paths[book].move(self._rng, self._step * self._moments, self._sky.now))
        book.mood = trader_policy.drift_of_mood(self._rng, book.mood)
        return book

    def _liquidate(self, book: Book, block: Block) -> Iterator[OutgoingMessage]:
        for address in book.crossed():
            taken, fills = self.exchange.liquidate(book, address, block.number)
            value = float(taken.size * taken.price)
            self._paths[book].push(-value if taken.side == "LONG" else value)
            by_transaction = self._rng.random() < 0.3
            yield (message_builder.liquidation_transaction if by_transaction else message_builder.liquidation)(
                taken, block
            )
            for fill in fills:
                yield message_builder.order(fill, block)

    def _next_trader(self, book: Book) -> Wallet:
        draw = self._rng.random()
        if draw < 0.15 and self._vault.address in book.positions:
            return self._vault
        if draw > 0.94:
            return self._rng.choice(self._people[:WHALES])
        # The more positions there are, the more of the trading is about them.
        if book.positions and self._rng.random() < len(book.positions) / self._busy:
            return self.exchange.wallet(book.any_holder(self._rng))
        return self._rng.choice(self._people)

    def _decide(self, wallet: Wallet, book: Book) -> Decimal:
        if wallet is self._vault:
            position = book.positions.get(wallet.address)
            return trader_policy.reduce_inventory(self._rng, book, position) if position else Decimal(0)
        return trader_policy.decide(self._rng, wallet, book)

    def _balance(self, wallet: Wallet, block: Block) -> Iterator[OutgoingMessage]:
        """Who has lost most of it brings new money; who has won much takes some away."""
        surplus = wallet.balance - wallet.capital
        if wallet is self._vault or wallet.capital * Decimal("-0.8") < surplus < wallet.capital:
            return
        amount = min(abs(surplus), LARGEST_MOVEMENT).quantize(Decimal("0.01"))
        kind = Kind.DEPOSIT if surplus < 0 else Kind.WITHDRAW
        wallet.balance += amount if kind is Kind.DEPOSIT else -amount
        yield message_builder.movement(kind, wallet, amount, self.exchange.numbers.hash(block.number), block)

    def _warm_up(self) -> None:
        """Lets people take positions before the first message, so that there is something to see at once."""
        before = self._block()
        for _ in range(min(5 * self._busy * len(self.books), LONGEST_WARM_UP)):
            self._step += 1
            for _message in self._events(before):
                pass
