"""Simulator messages at a steady rate, with the rows and dead letters expected from them."""

import hashlib
import queue
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from datetime import UTC, datetime

from hyperwatch.soak.environment import SoakOptions
from hyperwatch.soak.invalid_messages import ExpectedDeadLetter, invalid_messages
from hyperwatch.soak.oracle import Oracle
from realtime.kafka.bulk_producer import BoundedProducer, topic_names
from realtime.sources.simulator import Kind, MarketSimulator, OutgoingMessage
from realtime.sources.simulator.live_runner import live

COINS, WALLETS = 8, 100
RECENT_MESSAGES = 500
FLUSH_TIMEOUT_SECONDS = 60.0


class Traffic:
    """Sends from a separate thread until its duration has elapsed or `stop`; waits while Kafka is unavailable.

    `oracle` holds the rows expected from the messages sent so far. `rejected` counts the expected dead letters by
    reason and digest.
    """

    def __init__(self, options: SoakOptions) -> None:
        self._options = options
        self._simulator = MarketSimulator(seed=options.seed, start=datetime.now(UTC), coins=COINS, wallets=WALLETS)
        self.whales = self._simulator.whales
        self.oracle = Oracle({address for address, _ in self.whales})
        self.rejected: Counter[tuple[str, bytes]] = Counter()
        self.error = ""
        self._stop = threading.Event()
        self._producer = BoundedProducer(self._stop)
        self._recent: deque[OutgoingMessage] = deque(maxlen=RECENT_MESSAGES)
        self._injected: queue.SimpleQueue[OutgoingMessage | ExpectedDeadLetter] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self.started_at = self.ended_at = 0.0

    @property
    def sent(self) -> int:
        return self._producer.sent

    @property
    def acknowledged(self) -> int:
        return self._producer.acknowledged

    @property
    def is_sending(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self.started_at = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def inject_invalid(self) -> None:
        """Queues one invalid message for each rejection reason; it is sent after the next regular message."""
        orders = [message for message in self._recent.copy() if message.kind is Kind.ORDER]
        for message in invalid_messages(orders[-1]) if orders else ():
            self._injected.put(message)

    def inject_duplicates(self, rng: random.Random) -> None:
        """Queues the recent messages again in random order."""
        recent: Sequence[OutgoingMessage] = self._recent.copy()
        for message in rng.sample(recent, len(recent)):
            self._injected.put(message)

    def _run(self) -> None:
        try:
            self._send_all()
        except Exception as error:  # noqa: BLE001 (included in the report)
            self.error = repr(error)
        self.ended_at = time.monotonic()

    def _send_all(self) -> None:
        names = topic_names()
        for message in live(self._simulator, self._stop, rate=self._options.rate, duration=self._options.seconds):
            self.oracle.add(message)
            self._recent.append(message)
            self._producer.send(names[message.topic], message.key, message.value)
            while not self._injected.empty():
                self._send_injected(names, self._injected.get())
        self._producer.close(FLUSH_TIMEOUT_SECONDS)

    def _send_injected(self, names: dict[str, str], message: OutgoingMessage | ExpectedDeadLetter) -> None:
        if isinstance(message, ExpectedDeadLetter):
            self.rejected[message.reason, digest(message.value)] += 1
            self._producer.send(names[message.topic], "poison", message.value)
        else:
            self._producer.send(names[message.topic], message.key, message.value)


def digest(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=8).digest()
