"""Liquidations offered to Kafka at a pace, as the contract wants them, and when Kafka acknowledged each."""

import random
import re
import time
from datetime import UTC, datetime
from functools import partial

import msgspec
from django.conf import settings

from hyperwatch.bench import CannotMeasureError
from hyperwatch.formats import isoformat
from realtime.kafka.producer import KafkaProducer
from realtime.sources.simulator.instruments import INSTRUMENTS

# By which a frame is known again: the hash is the message's number.
HASH = re.compile(rb'"tx_hash":"0x([0-9a-f]{64})"')
COIN = re.compile(rb'"coin":"([^"]+)"')


class PacedProducer:
    """The numbers go on from one `offer` to the next; `acknowledged` has the moment of each (`time.monotonic`)."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)  # noqa: S311 (no secret)
        self._producer = KafkaProducer()
        self.acknowledged: list[float] = [0.0]

    def offer(self, count: int, rate: float) -> float:
        """Sends so many, evenly, `rate` a second; returns the seconds that it took to send them.

        Raises CannotMeasureError where Kafka does not acknowledge all of them.
        """
        before = self._producer.acknowledged
        began = due = time.monotonic()
        for coin in self._dice.choices(INSTRUMENTS, [coin.activity for coin in INSTRUMENTS], k=count):
            while (early := due - time.monotonic()) > 0:
                self._producer.poll(early)
            self._send(coin.name)
            due += 1 / rate
        seconds = time.monotonic() - began
        self._producer.flush()
        if self._producer.acknowledged - before != count:
            raise CannotMeasureError(f"Kafka did not acknowledge everything: {self._producer.failures[:3]}")
        return seconds

    def _send(self, coin: str) -> None:
        number = len(self.acknowledged)
        self.acknowledged.append(0.0)
        message = self._message(number, coin)
        self._producer.send(settings.KAFKA_TOPIC_COMPUTED_DATA, coin, message, partial(self._note, number))

    def _note(self, number: int) -> None:
        self.acknowledged[number] = time.monotonic()

    def _message(self, number: int, coin: str) -> bytes:
        dice = self._dice
        now = isoformat(datetime.now(UTC))
        data = {
            "tx_hash": f"0x{number:064x}",
            "block_number": 800_000_000 + number,
            "block_timestamp": now,
            "user_address": f"0x{dice.getrandbits(160):040x}",
            "coin": coin,
            "side": dice.choice(("LONG", "SHORT")),
            "liquidated_size": f"{dice.uniform(0.01, 9):.8f}",
            "liquidation_price": f"{dice.uniform(1, 90_000):.8f}",
            "leverage": "20.00",
            "margin": f"{dice.uniform(1, 9_000):.8f}",
            "liquidator_address": f"0x{dice.getrandbits(160):040x}",
            "raw_data": {"tid": number},
        }
        return msgspec.json.encode({"data_type": "LIQUIDATION", "coin": coin, "timestamp": now, "data": data})


def number_of(frame: bytes) -> int:
    """Of the message that a frame tells of."""
    found = HASH.search(frame)
    return int(found[1], 16) if found else 0


def coin_of(frame: bytes) -> bytes:
    found = COIN.search(frame)
    return found[1] if found else b""
