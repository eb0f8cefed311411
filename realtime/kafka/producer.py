"""Kafka producer: idempotent, counts acknowledgements and failures."""

from collections.abc import Callable
from functools import partial

import confluent_kafka

from realtime.kafka.admin import connection_config


class KafkaProducer:
    """Sends messages; each is acknowledged by all replicas or reported by `flush`."""

    def __init__(self) -> None:
        self._producer = confluent_kafka.Producer(
            {**connection_config(), "enable.idempotence": True, "linger.ms": 5, "compression.type": "gzip"}
        )
        self.acknowledged = 0
        self.failures: list[str] = []

    def send(
        self, topic: str, key: str | bytes | None, value: bytes | None, then: Callable[[], None] | None = None
    ) -> None:
        """Queues a message; blocks while the local queue is full. A message over the client's limit is a failure.

        `then` is called once it is acknowledged: by a later `send`, by `poll` or `flush`.
        """
        on_delivery = self._delivered if then is None else partial(self._delivered_and, then)
        while True:
            try:
                self._producer.produce(topic, key=key, value=value, on_delivery=on_delivery)
                self._producer.poll(0)
                return
            except BufferError:
                self._producer.poll(0.1)
            except confluent_kafka.KafkaException as error:
                self.failures.append(error.args[0].str())
                return

    def poll(self, timeout: float) -> None:
        """Notes what was acknowledged, or waits for that at most `timeout` seconds."""
        self._producer.poll(timeout)

    def flush(self, timeout: float = 30.0) -> int:
        """Waits until everything is acknowledged or failed; returns how many still wait after `timeout` seconds."""
        return self._producer.flush(timeout)

    def _delivered(self, error: confluent_kafka.KafkaError | None, _message: object) -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self.failures.append(str(error))

    def _delivered_and(
        self, then: Callable[[], None], error: confluent_kafka.KafkaError | None, message: object
    ) -> None:
        self._delivered(error, message)
        if error is None:
            then()
