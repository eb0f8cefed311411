"""LIQUIDATION messages as the venue would make them: times that advance, skewed coins and wallets, heavy-tailed values.

They go on where a filled database ends, with the same coins and wallets.
"""

import random
from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import accumulate
from typing import NamedTuple

import msgspec
from django.conf import settings

from hyperwatch.bench import CannotMeasureError
from hyperwatch.bench.data import distributions
from hyperwatch.bench.data.distributions import COINS, END, FIRST_BLOCK, WALLETS
from hyperwatch.formats import isoformat
from realtime.kafka.consumer import KafkaMessage
from realtime.kafka.producer import KafkaProducer

# Between two of them, as in a crash: two thousand a second.
STEP = timedelta(microseconds=500)
WEIGHTS = list(accumulate(1 / number for number in range(1, COINS + 1)))


class PreparedMessage(NamedTuple):
    coin: str
    value: bytes

    def as_read(self) -> KafkaMessage:
        """As a consumer would hand it to the decoder."""
        return KafkaMessage(settings.KAFKA_TOPIC_COMPUTED_DATA, 0, 0, self.coin.encode(), self.value, 0)


class KafkaMessages:
    """No two alike, however many are made."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311 (no secret)
        self._made = 0
        self._coins = {distributions.coin(number): number for number in range(1, COINS + 1)}
        self._wallets = [distributions.wallet(number) for number in range(WALLETS)]

    def make(self, count: int) -> list[PreparedMessage]:
        return [self.one(coin) for coin in self._dice.choices(list(self._coins), cum_weights=WEIGHTS, k=count)]

    def one(self, coin: str) -> PreparedMessage:
        dice = self._dice
        self._made += 1
        now, block = isoformat(END + self._made * STEP), FIRST_BLOCK + 100_000_000 + self._made
        value = distributions.value_above(1 - dice.random())
        price = dice.uniform(0.9, 1.1) * 100_000 / self._coins[coin] ** 2
        data = {
            "tx_hash": f"0x{dice.getrandbits(80):020x}04{block:08x}{dice.getrandbits(136):034x}",
            "block_number": block,
            "block_timestamp": now,
            "user_address": self._wallets[int(WALLETS * dice.random() ** 3)],
            "coin": coin,
            "side": dice.choice(("LONG", "SHORT")),
            "liquidated_size": f"{value / price:.8f}",
            "liquidation_price": f"{price:.8f}",
            "liquidation_value_usd": f"{value:.8f}",
            "leverage": "20.00",
            "margin": f"{value / 20:.8f}",
            "liquidator_address": f"0x{dice.getrandbits(160):040x}",
            "raw_data": {"tid": self._made},
        }
        message = {"data_type": "LIQUIDATION", "coin": coin, "timestamp": now, "data": data}
        return PreparedMessage(coin, msgspec.json.encode(message))

    def last_of_each(self, offers: Iterable[PreparedMessage]) -> list[PreparedMessage]:
        """A new one for each coin, so that behind those of a partition there is one."""
        return [self.one(coin) for coin in sorted({offer.coin for offer in offers})]


def send(producer: KafkaProducer, offers: Sequence[PreparedMessage]) -> None:
    """Returns when Kafka has acknowledged all of them; raises CannotMeasureError where it does not."""
    before = producer.acknowledged
    for offer in offers:
        producer.send(settings.KAFKA_TOPIC_COMPUTED_DATA, offer.coin, offer.value)
    producer.flush()
    if producer.acknowledged - before != len(offers):
        raise CannotMeasureError(f"Kafka did not acknowledge everything: {producer.failures[:3]}")
