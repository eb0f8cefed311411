"""Kafka producer: idempotent, counts acknowledgements and failures."""

from collections.abc import Callable
from functools import partial

import confluent_kafka

from realtime.kafka.admin import connection_config
from realtime.kafka.broker_errors import BrokerErrors


class KafkaProducer:
    """Idempotent producer; each message is acknowledged by all replicas or added to `failures`."""

    def __init__(self) -> None:
        self._broker_errors = BrokerErrors()
        self._producer = confluent_kafka.Producer(
            {
                "enable.idempotence": True,
                "linger.ms": 5,
                "compression.type": "gzip",
                **connection_config(),
                "error_cb": self._broker_errors.add,
            }
        )
        self.acknowledged = 0
        self.failures: list[str] = []

    @property
    def problem(self) -> str:
        """Why messages are not acknowledged: the first failure and the brokers' errors."""
        reasons = [*self.failures[:1], str(self._broker_errors)]
        return "; ".join(filter(None, reasons)) or "Kafka did not answer in time"

    def send(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes | None,
        on_acknowledged: Callable[[], None] | None = None,
    ) -> None:
        """Queues a message; blocks while the local queue is full. A message over the client's size limit fails.

        `on_acknowledged` runs after the acknowledgement, within a later `send`, `poll` or `flush`.
        """
        on_delivery = (
            self._delivered if on_acknowledged is None else partial(self._delivered_with_callback, on_acknowledged)
        )
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
        """Runs pending delivery callbacks; waits at most `timeout` seconds for the first."""
        self._producer.poll(timeout)

    def flush(self, timeout: float = 30.0) -> int:
        """Waits until each message is acknowledged or failed; returns the number still queued after `timeout`."""
        return self._producer.flush(timeout)

    def _delivered(self, error: confluent_kafka.KafkaError | None, _message: object) -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self.failures.append(error.str())

    def _delivered_with_callback(
        self, on_acknowledged: Callable[[], None], error: confluent_kafka.KafkaError | None, message: object
    ) -> None:
        self._delivered(error, message)
        if error is None:
            on_acknowledged()
