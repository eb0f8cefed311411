"""Kafka topics and connection settings: lists, creates and deletes the contract's topics."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from django.conf import settings

from realtime.kafka.broker_errors import BrokerErrors
from realtime.kafka.client_settings import with_setting_names, without_secrets

DAY_MS = 24 * 60 * 60 * 1000


class TopicSpec(NamedTuple):
    name: str
    partitions: int
    retention_ms: int


class KafkaUnavailable(Exception):
    """No broker answered: wait and try again. The text names the brokers and their reasons."""


def topics() -> tuple[TopicSpec, TopicSpec]:
    """The topics of the contract (kafka.md), under the names from the settings."""
    return (
        TopicSpec(settings.KAFKA_TOPIC_TRANSACTIONS, partitions=10, retention_ms=7 * DAY_MS),
        TopicSpec(settings.KAFKA_TOPIC_COMPUTED_DATA, partitions=5, retention_ms=DAY_MS),
    )


def connection_config() -> dict[str, str | int | float | bool]:
    """The librdkafka options of every client; raises KafkaUnavailable without KAFKA_BOOTSTRAP_SERVERS."""
    if not settings.KAFKA_BOOTSTRAP_SERVERS:
        raise KafkaUnavailable("no Kafka: set KAFKA_BOOTSTRAP_SERVERS, or start `make run`, which includes a broker")
    return {
        "bootstrap.servers": settings.KAFKA_BOOTSTRAP_SERVERS,
        "client.id": "hyperwatch",
        # librdkafka logs each connection attempt. Errors that matter arrive through `error_cb` and exceptions.
        "log_level": 2,
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 2_000,
        "socket.keepalive.enable": True,
        **settings.KAFKA_CLIENT_OPTIONS,
    }


def rejected_option() -> tuple[str, str] | None:
    """The option that librdkafka rejects, with its reason without secrets; None if it accepts all of them."""
    options: dict[str, str] = settings.KAFKA_CLIENT_OPTIONS
    try:
        if options:
            confluent_kafka.Producer({"log_level": 0, **options})
    except (confluent_kafka.KafkaException, TypeError, ValueError) as error:
        reason = error.args[0].str() if isinstance(error, confluent_kafka.KafkaException) else str(error)
        text = without_secrets(reason.removeprefix("Failed to create producer: "), options)
        return next((name for name in options if name in text), ""), with_setting_names(text)
    return None


@contextmanager
def _admin() -> Iterator[AdminClient]:
    """An admin client whose errors become KafkaUnavailable."""
    errors, admin = BrokerErrors(), None
    try:
        config: dict[str, Any] = {**connection_config(), "error_cb": errors.add}
        admin = AdminClient(config)
        yield admin
    except confluent_kafka.KafkaException as error:
        if admin is not None:
            # Runs the pending callbacks.
            admin.poll(0)
        no_answer = f"no answer from {settings.KAFKA_BOOTSTRAP_SERVERS} ({with_setting_names(error.args[0].str())})"
        raise KafkaUnavailable(str(errors) or no_answer) from error


def existing_topics(timeout: float = 5.0) -> set[str]:
    """The names of the existing topics; raises KafkaUnavailable if no broker answers within `timeout` seconds."""
    with _admin() as admin:
        return set(admin.list_topics(timeout=timeout).topics)


def create_topics(timeout: float = 10.0) -> list[str]:
    """Creates the contract's topics that are missing and returns their names; raises KafkaUnavailable."""
    missing = [topic for topic in topics() if topic.name not in existing_topics(timeout)]
    if not missing:
        return []
    # The futures are valid only while their client exists.
    with _admin() as admin:
        futures = admin.create_topics([_new_topic(topic) for topic in missing])
        for name, future in futures.items():
            try:
                future.result(timeout)
            except confluent_kafka.KafkaException as error:
                # Race: another process may have created the topic since `existing_topics`.
                if error.args[0].code() != confluent_kafka.KafkaError.TOPIC_ALREADY_EXISTS:
                    raise KafkaUnavailable(f"topic {name} could not be created: {error.args[0].str()}") from error
    return [topic.name for topic in missing]


def _new_topic(topic: TopicSpec) -> NewTopic:
    return NewTopic(
        topic.name,
        num_partitions=topic.partitions,
        replication_factor=settings.KAFKA_REPLICATION_FACTOR,
        config={"compression.type": "gzip", "retention.ms": str(topic.retention_ms)},
    )


def delete_topics(timeout: float = 10.0) -> None:
    """Deletes the contract's topics with all their messages; raises KafkaUnavailable."""
    with _admin() as admin:
        for future in admin.delete_topics([topic.name for topic in topics()]).values():
            future.result(timeout)
