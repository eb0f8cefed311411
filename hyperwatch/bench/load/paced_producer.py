"""Produces liquidations to Kafka at a given rate, and records the time of each acknowledgement."""

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

# The hash is the number of the message, which identifies its frame.
TX_HASH_PATTERN = re.compile(rb'"tx_hash":"0x([0-9a-f]{64})"')
COIN_PATTERN = re.compile(rb'"coin":"([^"]+)"')


class PacedProducer:
    """Numbers continue from one `produce` to the next; `acknowledged` has the time of each (`time.monotonic`)."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)  # noqa: S311 (no secret)
        self._producer = KafkaProducer()
        self.acknowledged: list[float] = [0.0]

    def produce(self, count: int, rate: float) -> float:
        """Sends `count` messages, evenly, `rate` a second; returns the seconds of sending.

        Raises CannotMeasureError if Kafka does not acknowledge all of them.
        """
        before = self._producer.acknowledged
        started = next_send = time.monotonic()
        for coin in self._rng.choices(INSTRUMENTS, [coin.activity for coin in INSTRUMENTS], k=count):
            while (remaining := next_send - time.monotonic()) > 0:
                self._producer.poll(remaining)
            self._send(coin.name)
            next_send += 1 / rate
        seconds = time.monotonic() - started
        self._producer.flush()
        if self._producer.acknowledged - before != count:
            raise CannotMeasureError(f"Kafka did not acknowledge all messages: {self._producer.failures[:3]}")
        return seconds

    def _send(self, coin: str) -> None:
        number = len(self.acknowledged)
        self.acknowledged.append(0.0)
        message = self._message(number, coin)
        self._producer.send(settings.KAFKA_TOPIC_COMPUTED_DATA, coin, message, partial(self._on_acknowledged, number))

    def _on_acknowledged(self, number: int) -> None:
        self.acknowledged[number] = time.monotonic()

    def _message(self, number: int, coin: str) -> bytes:
        rng = self._rng
        now = isoformat(datetime.now(UTC))
        data = {
            "tx_hash": f"0x{number:064x}",
            "block_number": 800_000_000 + number,
            "block_timestamp": now,
            "user_address": f"0x{rng.getrandbits(160):040x}",
            "coin": coin,
            "side": rng.choice(("LONG", "SHORT")),
            "liquidated_size": f"{rng.uniform(0.01, 9):.8f}",
            "liquidation_price": f"{rng.uniform(1, 90_000):.8f}",
            "leverage": "20.00",
            "margin": f"{rng.uniform(1, 9_000):.8f}",
            "liquidator_address": f"0x{rng.getrandbits(160):040x}",
            "raw_data": {"tid": number},
        }
        return msgspec.json.encode({"data_type": "LIQUIDATION", "coin": coin, "timestamp": now, "data": data})


def number_of(frame: bytes) -> int:
    """The number of the message in a frame."""
    match = TX_HASH_PATTERN.search(frame)
    return int(match[1], 16) if match else 0


def coin_of(frame: bytes) -> bytes:
    match = COIN_PATTERN.search(frame)
    return match[1] if match else b""
