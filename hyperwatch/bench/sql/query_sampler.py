"""Draws query parameters for a filled database, deterministic by seed and size."""

import random
from datetime import datetime, timedelta

from hyperwatch.api.pagination import Cursor
from hyperwatch.bench.data import distributions
from hyperwatch.bench.data.distributions import DAYS, END, RARE, RARE_COIN, RARE_WALLET, START
from hyperwatch.bench.data.stream_recipes import FILLS_PER_TRANSACTION, MAP_COINS, RATIO_COINS, RECIPES, WHALES
from hyperwatch.bench.sql.cancellable_sql import CancellableSession
from hyperwatch.formats import isoformat
from realtime.streams import get_stream

Parameters = dict[str, str]
MILLISECOND = timedelta(milliseconds=1)


class QuerySampler:
    def __init__(self, session: CancellableSession, seed: int, size: int) -> None:
        self._session = session
        self._seed = seed
        self._size = size
        self.rng = random.Random(seed)  # noqa: S311 (no secret)
        self._epoch = session.value("SELECT value FROM epoch")

    def coin(self) -> str:
        """One of the 40 most traded coins."""
        return distributions.coin(self.rng.randint(1, 40))

    def coins(self) -> str:
        return ",".join(distributions.coin(number) for number in self.rng.sample(range(1, 100), 3))

    def rare_coin(self) -> str:
        return distributions.coin(RARE_COIN + self.rng.randrange(RARE))

    def state_coin(self) -> str:
        return distributions.coin(self.rng.randint(1, RATIO_COINS))

    def map_coin(self) -> str:
        return distributions.coin(self.rng.randint(1, MAP_COINS))

    def busy_wallet(self) -> str:
        return distributions.wallet(self.rng.randrange(20))

    def idle_wallet(self) -> str:
        return distributions.wallet(RARE_WALLET + self.rng.randrange(RARE))

    def unknown_wallet(self) -> str:
        return distributions.wallet(RARE_WALLET + RARE + self.rng.randrange(1_000))

    def side(self) -> str:
        return self.rng.choice(("LONG", "SHORT"))

    def value_above(self, share: float) -> str:
        """A value that about this share of the rows exceeds."""
        return f"{distributions.value_above(share) * self.rng.uniform(0.95, 1.05):.2f}"

    def whale(self) -> int:
        return self.rng.randint(1, WHALES)

    def tx_hash(self) -> str:
        return distributions.tx_hash(self._seed, self.rng.randrange(1, self._size // FILLS_PER_TRANSACTION))

    def random_time(self) -> datetime:
        return START + (END - START) * self.rng.random()

    def recent_time(self, longest: timedelta) -> str:
        """A time at most `longest` before the end: periodic states start later in a smaller database."""
        return isoformat(END - longest * self.rng.random())

    def window(self, step: timedelta = MILLISECOND, longest: timedelta = timedelta(days=DAYS)) -> Parameters:
        """A random time range with both ends on multiples of `step`."""
        span = longest * self.rng.random() ** 2 + step
        first = START + (self.rng.random() * max(END - START - span, timedelta()) // step) * step
        return {"start_time": isoformat(first), "end_time": isoformat(first + span // step * step)}

    def cursor(self, name: str = "liquidations") -> str:
        """A cursor to a row that is far from both ends."""
        stream, rows = get_stream(name), RECIPES[name].rows(self._size)
        seq = self.rng.randrange(rows // 10, rows * 9 // 10)
        table = stream.model._meta.db_table
        time = self._session.value(f"SELECT {stream.time} FROM {table} WHERE id = %s", [seq])
        return Cursor(self._epoch, rows, time, seq).encode()
