"""Draws what is asked of a filled database: the same for the same seed and size."""

import random
from datetime import datetime, timedelta

from hyperwatch.api.pagination import Cursor
from hyperwatch.bench.data import distributions
from hyperwatch.bench.data.distributions import DAYS, END, RARE, RARE_COIN, RARE_WALLET, START
from hyperwatch.bench.data.stream_recipes import FILLS, OF_MAPS, OF_RATIOS, RECIPES, WHALES
from hyperwatch.bench.sql.cancellable_sql import CancellableSession
from hyperwatch.formats import isoformat
from realtime.streams import get_stream

Parameters = dict[str, str]
MS = timedelta(milliseconds=1)


class QuerySampler:
    def __init__(self, session: CancellableSession, seed: int, size: int) -> None:
        self._session = session
        self._seed = seed
        self._size = size
        self.dice = random.Random(seed)  # noqa: S311 (no secret)
        self._epoch = session.value("SELECT value FROM epoch")

    def coin(self) -> str:
        """One of those that are traded most."""
        return distributions.coin(self.dice.randint(1, 40))

    def coins(self) -> str:
        return ",".join(distributions.coin(number) for number in self.dice.sample(range(1, 100), 3))

    def rare_coin(self) -> str:
        return distributions.coin(RARE_COIN + self.dice.randrange(RARE))

    def state_coin(self) -> str:
        return distributions.coin(self.dice.randint(1, OF_RATIOS))

    def map_coin(self) -> str:
        return distributions.coin(self.dice.randint(1, OF_MAPS))

    def busy_wallet(self) -> str:
        return distributions.wallet(self.dice.randrange(20))

    def idle_wallet(self) -> str:
        return distributions.wallet(RARE_WALLET + self.dice.randrange(RARE))

    def stranger(self) -> str:
        return distributions.wallet(RARE_WALLET + RARE + self.dice.randrange(1_000))

    def side(self) -> str:
        return self.dice.choice(("LONG", "SHORT"))

    def value_above(self, share: float) -> str:
        """Which about this share of the rows is above."""
        return f"{distributions.value_above(share) * self.dice.uniform(0.95, 1.05):.2f}"

    def whale(self) -> int:
        return self.dice.randint(1, WHALES)

    def tx_hash(self) -> str:
        return distributions.tx_hash(self._seed, self.dice.randrange(1, self._size // FILLS))

    def moment(self) -> datetime:
        return START + (END - START) * self.dice.random()

    def lately(self, longest: timedelta) -> str:
        """A time not longer before the end than that: what comes in turns begins later where there is less of it."""
        return isoformat(END - longest * self.dice.random())

    def window(self, step: timedelta = MS, longest: timedelta = timedelta(days=DAYS)) -> Parameters:
        """A part of the time that there is, its ends whole steps."""
        span = longest * self.dice.random() ** 2 + step
        first = START + (self.dice.random() * max(END - START - span, timedelta()) // step) * step
        return {"start_time": isoformat(first), "end_time": isoformat(first + span // step * step)}

    def cursor(self, name: str = "liquidations") -> str:
        """The place of a row far from both ends."""
        stream, rows = get_stream(name), RECIPES[name].rows(self._size)
        seq = self.dice.randrange(rows // 10, rows * 9 // 10)
        table = stream.model._meta.db_table
        time = self._session.value(f"SELECT {stream.time} FROM {table} WHERE id = %s", [seq])
        return Cursor(self._epoch, rows, time, seq).encode()
