"""The settings KAFKA_SECURITY_PROTOCOL, KAFKA_SASL_*, KAFKA_SSL_* and KAFKA_OPTIONS as options of librdkafka.

Read by settings.py, so nothing here imports Django or a Kafka client. Errors show no value that may be a secret.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hyperwatch.env import Settings

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
PASSWORD_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
# OAUTHBEARER has its options in KAFKA_OPTIONS (sasl.oauthbearer.method=oidc and others).
MECHANISMS = (*PASSWORD_MECHANISMS, "OAUTHBEARER")

# The options that have a setting of their own.
SETTINGS = {
    "security.protocol": "KAFKA_SECURITY_PROTOCOL",
    "sasl.mechanism": "KAFKA_SASL_MECHANISM",
    "sasl.username": "KAFKA_SASL_USERNAME",
    "sasl.password": "KAFKA_SASL_PASSWORD",
    "ssl.ca.location": "KAFKA_SSL_CA_LOCATION",
    "ssl.certificate.location": "KAFKA_SSL_CERTIFICATE_LOCATION",
    "ssl.key.location": "KAFKA_SSL_KEY_LOCATION",
    "ssl.key.password": "KAFKA_SSL_KEY_PASSWORD",
    "ssl.endpoint.identification.algorithm": "KAFKA_SSL_ENDPOINT_IDENTIFICATION_ALGORITHM",
    "sasl.mechanisms": "KAFKA_SASL_MECHANISM",
    "bootstrap.servers": "KAFKA_BOOTSTRAP_SERVERS",
    "metadata.broker.list": "KAFKA_BOOTSTRAP_SERVERS",
    "group.id": "KAFKA_GROUP_ID",
    "session.timeout.ms": "KAFKA_SESSION_TIMEOUT_MS",
}
# The options that exactly-once storing depends on: offsets, acknowledgements, whole assignments.
FIXED_OPTIONS = {
    "acks", "auto.offset.reset", "enable.auto.commit", "enable.auto.offset.store", "enable.idempotence",
    "enable.partition.eof", "group.instance.id", "group.protocol", "partition.assignment.strategy",
    "request.required.acks", "transactional.id",
}  # fmt: skip
LAYERS = {"sasl": "SASL_SSL or SASL_PLAINTEXT", "ssl": "SSL or SASL_SSL"}

PAIR_SEPARATOR = re.compile(r"(?<!\\),")
OPTION_NAME = re.compile(r"[a-z][a-z0-9._]*", re.ASCII)
SECRET_NAME = re.compile(r"password|secret|\.pem|\.key$")


def client_options(env: "Settings") -> dict[str, str]:
    """The options of every Kafka client; empty for a cluster without TLS and SASL."""
    options = {option: value for option, value in _security_options(env).items() if value}
    if not any(name.startswith("KAFKA_S") for name in env.errors):
        for name, error in _inconsistencies(options):
            env.reject(name, error)
    return options | _other_options(env)


def without_secrets(text: str, options: Mapping[str, str]) -> str:
    """An error of librdkafka without the values of secret options, which it may quote."""
    for name, value in options.items():
        if value and SECRET_NAME.search(name):
            text = text.replace(value, "***")
    return text


def with_setting_names(text: str) -> str:
    """An error of librdkafka with the names of our settings in place of its options."""
    for option, name in SETTINGS.items():
        text = re.sub(rf"(?<![\w.]){re.escape(option)}(?![\w.]\w)", name, text)
    return text


def _security_options(env: "Settings") -> dict[str, str]:
    protocol = env.choice("KAFKA_SECURITY_PROTOCOL", "", ["", *PROTOCOLS])
    identification = env.choice("KAFKA_SSL_ENDPOINT_IDENTIFICATION_ALGORITHM", "", ["", "https", "none"])
    return {
        "security.protocol": "" if protocol == "PLAINTEXT" else protocol,
        "sasl.mechanism": env.choice("KAFKA_SASL_MECHANISM", "", ["", *MECHANISMS]),
        "sasl.username": env.text("KAFKA_SASL_USERNAME"),
        "sasl.password": env.text("KAFKA_SASL_PASSWORD"),
        "ssl.ca.location": env.existing_path("KAFKA_SSL_CA_LOCATION"),
        "ssl.certificate.location": env.existing_path("KAFKA_SSL_CERTIFICATE_LOCATION"),
        "ssl.key.location": env.existing_path("KAFKA_SSL_KEY_LOCATION"),
        "ssl.key.password": env.text("KAFKA_SSL_KEY_PASSWORD"),
        "ssl.endpoint.identification.algorithm": "" if identification == "https" else identification,
    }


def _inconsistencies(options: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Settings that another one lacks or excludes: librdkafka would ignore them, or fail at the first connection."""
    protocol = options.get("security.protocol", "PLAINTEXT")
    for option in options:
        layer = option.partition(".")[0]
        if layer in LAYERS and layer.upper() not in protocol:
            yield SETTINGS[option], f"needs KAFKA_SECURITY_PROTOCOL={LAYERS[layer]}, not {protocol}"
    mechanism = options.get("sasl.mechanism")
    if "SASL" in protocol and not mechanism:
        yield "KAFKA_SASL_MECHANISM", f"is required by KAFKA_SECURITY_PROTOCOL={protocol}: {', '.join(MECHANISMS)}"
    if mechanism in PASSWORD_MECHANISMS:
        for option in {"sasl.username", "sasl.password"} - set(options):
            yield SETTINGS[option], f"is required by KAFKA_SASL_MECHANISM={mechanism}"
    pair = {"ssl.certificate.location", "ssl.key.location"}
    if len(missing := pair - set(options)) == 1:
        (present,) = pair - missing
        yield SETTINGS[missing.pop()], f"is required by {SETTINGS[present]}"


def _other_options(env: "Settings") -> dict[str, str]:
    """KAFKA_OPTIONS: `key=value` separated by commas; a comma within a value is written as `\\,`."""
    options = {}
    text = env.text("KAFKA_OPTIONS")
    for pair in PAIR_SEPARATOR.split(text) if text else []:
        name, equals, value = pair.replace(r"\,", ",").partition("=")
        name = name.strip()
        if not equals or not OPTION_NAME.fullmatch(name):
            env.reject(
                "KAFKA_OPTIONS", r"must be librdkafka's options as key=value, separated by commas (\, in a value)"
            )
        elif name in SETTINGS:
            env.reject("KAFKA_OPTIONS", f"contains {name}, which has its own setting: {SETTINGS[name]}")
        elif name in FIXED_OPTIONS or name.endswith("_cb"):
            env.reject("KAFKA_OPTIONS", f"contains {name}, which is fixed: storing each fact once depends on it")
        options[name] = value.strip()
    return options
