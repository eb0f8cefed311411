"""Settings that settings.py cannot check: it knows neither the registered streams nor librdkafka."""

from django.conf import settings

from hyperwatch.env import InvalidSettings
from realtime.kafka.client_settings import SETTINGS
from realtime.storage.retention import unknown_streams
from realtime.streams import all_streams


def check_settings() -> None:
    """Raises InvalidSettings; runs at the start of every process, once the streams are registered."""
    if errors := {**_retention_errors(), **_kafka_errors()}:
        raise InvalidSettings(errors)


def _retention_errors() -> dict[str, str]:
    if not (unknown := unknown_streams()):
        return {}
    known = ", ".join(stream.name for stream in all_streams())
    return {"STREAM_RETENTION_DAYS": f"must name streams ({known}), not {', '.join(sorted(unknown))!r}"}


def _kafka_errors() -> dict[str, str]:
    if not settings.KAFKA_CLIENT_OPTIONS:
        return {}
    # Only here: importing the client takes longer than most commands.
    from realtime.kafka.admin import rejected_option

    if (rejected := rejected_option()) is None:
        return {}
    option, reason = rejected
    return {SETTINGS.get(option, "KAFKA_OPTIONS"): f"is rejected by librdkafka: {reason}"}
