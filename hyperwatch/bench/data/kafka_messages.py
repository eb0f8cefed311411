"""LIQUIDATION messages like those of the exchange: advancing times, skewed coins and wallets, heavy-tailed values.

They continue after the last row of a filled database, with the same coins and wallets.
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

# As in a crash: two thousand messages a second.
MESSAGE_INTERVAL = timedelta(microseconds=500)
COIN_WEIGHTS = list(accumulate(1 / number for number in range(1, COINS + 1)))


class PreparedMessage(NamedTuple):
    coin: str
    value: bytes

    def as_kafka_message(self) -> KafkaMessage:
        """The input of the decoder."""
        return KafkaMessage(settings.KAFKA_TOPIC_COMPUTED_DATA, 0, 0, self.coin.encode(), self.value, 0)


class KafkaMessages:
    """Generates messages without duplicates."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)  # noqa: S311 (no secret)
        self._count = 0
        self._coins = {distributions.coin(number): number for number in range(1, COINS + 1)}
        self._wallets = [distributions.wallet(number) for number in range(WALLETS)]

    def make(self, count: int) -> list[PreparedMessage]:
        return [self.build(coin) for coin in self._rng.choices(list(self._coins), cum_weights=COIN_WEIGHTS, k=count)]

    def build(self, coin: str) -> PreparedMessage:
        rng = self._rng
        self._count += 1
        now, block = isoformat(END + self._count * MESSAGE_INTERVAL), FIRST_BLOCK + 100_000_000 + self._count
        value = distributions.value_above(1 - rng.random())
        price = rng.uniform(0.9, 1.1) * 100_000 / self._coins[coin] ** 2
        data = {
            "tx_hash": f"0x{rng.getrandbits(80):020x}04{block:08x}{rng.getrandbits(136):034x}",
            "block_number": block,
            "block_timestamp": now,
            "user_address": self._wallets[int(WALLETS * rng.random() ** 3)],
            "coin": coin,
            "side": rng.choice(("LONG", "SHORT")),
            "liquidated_size": f"{value / price:.8f}",
            "liquidation_price": f"{price:.8f}",
            "liquidation_value_usd": f"{value:.8f}",
            "leverage": "20.00",
            "margin": f"{value / 20:.8f}",
            "liquidator_address": f"0x{rng.getrandbits(160):040x}",
            "raw_data": {"tid": self._count},
        }
        message = {"data_type": "LIQUIDATION", "coin": coin, "timestamp": now, "data": data}
        return PreparedMessage(coin, msgspec.json.encode(message))

    def one_per_coin(self, messages: Iterable[PreparedMessage]) -> list[PreparedMessage]:
        """A new message for each coin of `messages`, so each partition ends with a new one."""
        return [self.build(coin) for coin in sorted({message.coin for message in messages})]


def send(producer: KafkaProducer, messages: Sequence[PreparedMessage]) -> None:
    """Returns once Kafka has acknowledged all of them; else raises CannotMeasureError."""
    before = producer.acknowledged
    for message in messages:
        producer.send(settings.KAFKA_TOPIC_COMPUTED_DATA, message.coin, message.value)
    producer.flush()
    if producer.acknowledged - before != len(messages):
        raise CannotMeasureError(f"Kafka did not acknowledge all messages: {producer.failures[:3]}")
