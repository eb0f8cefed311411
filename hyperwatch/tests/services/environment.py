"""The environment of a test run: nothing comes from the developer's shell by accident.

`isolate` runs before Django reads its settings. What the shell offers (`DATABASE_URL`, `REDIS_URL`,
`KAFKA_BOOTSTRAP_SERVERS`) is remembered for the fixtures; the tests themselves, and the processes that they
start, see only what stands here.
"""

import os
import re
import tempfile
from pathlib import Path

from hyperwatch.harness import apache_kafka, redis

ROOT = Path(__file__).resolve().parents[3]
VAR_DIR = Path(tempfile.gettempdir()) / f"hyperwatch-tests-{os.getpid()}"

SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "hyperwatch.settings",
    "ENV_FILE": os.devnull,
    "VAR_DIR": str(VAR_DIR),
    "SECRET_KEY": "for tests only, and long enough that Django has no complaint about it",
    "SERVER_HOST": "127.0.0.1",
    "REDIS_URL": "",
    "KAFKA_BOOTSTRAP_SERVERS": "",
    # A member that comes back to its group waits for this long.
    "KAFKA_SESSION_TIMEOUT_MS": "2000",
}

# Which PostgreSQL: a database of the tests' own is made on it in any case.
TAKEN_OVER = ("DATABASE_URL", "EMBEDDED_POSTGRES")

given: dict[str, str] = {}


def isolate() -> None:
    """Puts the tests' settings in place of the shell's."""
    for name in setting_names():
        if value := os.environ.pop(name, ""):
            given[name] = value
    os.environ.update(SETTINGS)
    os.environ.update({name: given[name] for name in TAKEN_OVER if name in given})


def setting_names() -> set[str]:
    """Every setting there is, as `.env.example` lists them."""
    return set(re.findall(r"^#?\s?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def missing() -> dict[str, str]:
    """What this machine lacks, by the marker of the tests that need it, with what would bring it."""
    lacks = {}
    if not redis.is_installed() and not given.get("REDIS_URL"):
        lacks["redis"] = "no redis-server, no REDIS_URL"
    if not apache_kafka.is_installed() and not given.get("KAFKA_BOOTSTRAP_SERVERS"):
        lacks["kafka"] = "no java with Kafka's jars (KAFKA_LIBS), no KAFKA_BOOTSTRAP_SERVERS"
    return lacks


def header() -> list[str]:
    """The first lines of a run: what was found, and what is left out for want of it."""
    lacks = missing()
    found = {
        "PostgreSQL": "DATABASE_URL" if given.get("DATABASE_URL") else "embedded",
        "Redis": "redis-server" if redis.is_installed() else "REDIS_URL",
        "Apache Kafka": f"java, {apache_kafka.jars()}" if apache_kafka.is_installed() else "KAFKA_BOOTSTRAP_SERVERS",
    }
    for marker, service in (("redis", "Redis"), ("kafka", "Apache Kafka")):
        if marker in lacks:
            found[service] = f"none ({lacks[marker]}): the tests marked `{marker}` are left out"
    return [f"{service}: {how}" for service, how in found.items()]
