"""The demo market at a steady rate, and what must have become of it."""

import hashlib
import queue
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from datetime import UTC, datetime

from hyperwatch.soak.environment import SoakOptions
from hyperwatch.soak.invalid_messages import InvalidMessages, poison
from hyperwatch.soak.oracle import Oracle
from realtime.kafka.bulk_producer import BoundedProducer, topic_names
from realtime.sources.simulator import Kind, MarketSimulator, OutgoingMessage
from realtime.sources.simulator.live_runner import live

COINS, WALLETS = 8, 100
REMEMBERED = 500
LAST_SECONDS = 60.0


class Traffic:
    """Sends from a thread of its own, until its time is over or it is told to stop; waits while Kafka is away.

    `truth` is what has to be stored of what was sent so far; `refused` by reason and digest what must be put aside.
    """

    def __init__(self, asked: SoakOptions) -> None:
        self._asked = asked
        self._market = MarketSimulator(seed=asked.seed, start=datetime.now(UTC), coins=COINS, wallets=WALLETS)
        self.whales = self._market.whales
        self.truth = Oracle({address for address, _ in self.whales})
        self.refused: Counter[tuple[str, bytes]] = Counter()
        self.error = ""
        self._stop = threading.Event()
        self._outbox = BoundedProducer(self._stop)
        self._last: deque[OutgoingMessage] = deque(maxlen=REMEMBERED)
        self._further: queue.SimpleQueue[OutgoingMessage | InvalidMessages] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="market", daemon=True)
        self.began = self.ended = 0.0

    @property
    def sent(self) -> int:
        return self._outbox.sent

    @property
    def acknowledged(self) -> int:
        return self._outbox.acknowledged

    @property
    def is_sending(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self.began = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def send_poison(self) -> None:
        """One message for each reason to refuse one, with what comes next."""
        orders = [message for message in self._last.copy() if message.kind is Kind.ORDER]
        for bad in poison(orders[-1]) if orders else ():
            self._further.put(bad)

    def send_again(self, rng: random.Random) -> None:
        """The last messages once more, in another order."""
        again: Sequence[OutgoingMessage] = self._last.copy()
        for message in rng.sample(again, len(again)):
            self._further.put(message)

    def _run(self) -> None:
        try:
            self._send_all()
        except Exception as error:  # noqa: BLE001 (told in the verdict)
            self.error = repr(error)
        self.ended = time.monotonic()

    def _send_all(self) -> None:
        names = topic_names()
        for message in live(self._market, self._stop, rate=self._asked.rate, duration=self._asked.seconds):
            self.truth.add(message)
            self._last.append(message)
            self._outbox.send(names[message.topic], message.key, message.value)
            while not self._further.empty():
                self._send_further(names, self._further.get())
        self._outbox.close(LAST_SECONDS)

    def _send_further(self, names: dict[str, str], further: OutgoingMessage | InvalidMessages) -> None:
        if isinstance(further, InvalidMessages):
            self.refused[further.reason, digest(further.value)] += 1
            self._outbox.send(names[further.topic], "poison", further.value)
        else:
            self._outbox.send(names[further.topic], further.key, further.value)


def digest(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=8).digest()
