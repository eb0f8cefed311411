"""The brokers' errors from librdkafka's `error_cb`: they contain the cause, exceptions only that time has passed."""

import re

import confluent_kafka
from django.conf import settings

from realtime.kafka.client_settings import with_setting_names

# "sasl_ssl://127.0.0.1:9093/bootstrap: SASL authentication error: … (after 3ms in state AUTH_REQ)"
BROKER_ERROR = re.compile(r"(?:[a-z_]+://)?(?P<broker>\S+)/(?:bootstrap|-?\d+): (?P<reason>.*)", re.DOTALL)
STATE = re.compile(r" \(after \d+ms in state [^)]*\)$")
MAX_SHOWN_BROKERS = 3
CLOSED = "connection closed without an answer; a listener with TLS or SASL needs KAFKA_SECURITY_PROTOCOL"


def describe(error: confluent_kafka.KafkaError) -> str:
    """The broker and the reason, with the names of the settings that librdkafka refers to."""
    text = STATE.sub("", " ".join(error.str().split()))
    match = BROKER_ERROR.fullmatch(text)
    return with_setting_names(f"broker {match['broker']}: {match['reason']}" if match else text)


class BrokerErrors:
    """An `error_cb` that remembers the last error of each broker; callbacks run within a call of the client."""

    def __init__(self) -> None:
        self._by_broker: dict[str, str] = {}
        self._are_all_down = False

    def add(self, error: confluent_kafka.KafkaError) -> None:
        if error.code() == confluent_kafka.KafkaError._ALL_BROKERS_DOWN:
            self._are_all_down = True
        else:
            text = describe(error)
            self._by_broker[text.partition(": ")[0]] = text

    def __str__(self) -> str:
        """At most MAX_SHOWN_BROKERS of them; empty if no broker reported an error."""
        texts = list(self._by_broker.values())
        if self._are_all_down and not texts:
            # librdkafka reports no error for a connection that is closed at the first request.
            return f"{settings.KAFKA_BOOTSTRAP_SERVERS}: {CLOSED}"
        more = [f"{len(texts) - MAX_SHOWN_BROKERS} more brokers failed"] if len(texts) > MAX_SHOWN_BROKERS else []
        return "; ".join(texts[:MAX_SHOWN_BROKERS] + more)
