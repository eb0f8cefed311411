"""The environment of a test run, isolated from the developer's shell.

`isolate` runs before Django reads its settings. `given` holds the services of the shell (`DATABASE_URL`, `REDIS_URL`,
`KAFKA_BOOTSTRAP_SERVERS`) for the fixtures. Tests and their processes see `SETTINGS` only.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

from hyperwatch.harness import apache_kafka, redis

ROOT = Path(__file__).resolve().parents[3]
DATA_DIR = Path(tempfile.gettempdir()) / f"hyperwatch-tests-{os.getpid()}"

SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "hyperwatch.settings",
    "ENV_FILE": os.devnull,
    "DATA_DIR": str(DATA_DIR),
    "SECRET_KEY": "for tests only, and long enough that Django has no complaint about it",
    "SERVER_HOST": "127.0.0.1",
    "REDIS_URL": "",
    "KAFKA_BOOTSTRAP_SERVERS": "",
    # A killed member delays its successor in the group by this long.
    "KAFKA_SESSION_TIMEOUT_MS": "2000",
}

# The choice of PostgreSQL; the tests create a database of their own on it.
TAKEN_OVER = ("DATABASE_URL", "EMBEDDED_POSTGRES")

given: dict[str, str] = {}


def isolate() -> None:
    """Replaces the settings of the shell by those of the tests."""
    for name in setting_names():
        if value := os.environ.pop(name, ""):
            given[name] = value
    # Tests that use a proxy set it for their processes.
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    os.environ.update(SETTINGS)
    os.environ.update({name: given[name] for name in TAKEN_OVER if name in given})


def setting_names() -> set[str]:
    """All settings, from `.env.example`."""
    return set(re.findall(r"^#?\s?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


# By the marker of the tests that run them; the first that is installed is used.
PROGRAMS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "node": ("node", "nodejs"),
    "promtool": ("promtool",),
}


def program(marker: str) -> str:
    """The path of an installed program, or nothing."""
    return next(filter(None, map(shutil.which, PROGRAMS[marker])), "")


def missing() -> dict[str, str]:
    """Missing services: the marker of the tests that need one, and the reason."""
    lacks = {marker: f"{marker} is not installed" for marker in PROGRAMS if not program(marker)}
    if not redis.is_installed() and not given.get("REDIS_URL"):
        lacks["redis"] = "no redis-server, no REDIS_URL"
    if not apache_kafka.is_installed() and not given.get("KAFKA_BOOTSTRAP_SERVERS"):
        lacks["kafka"] = "no java with Kafka's jars (KAFKA_LIBS), no KAFKA_BOOTSTRAP_SERVERS"
    return lacks


def header() -> list[str]:
    """The first lines of a run: the services in use, and the tests left out."""
    lacks = missing()
    found = {
        "PostgreSQL": "DATABASE_URL" if given.get("DATABASE_URL") else "embedded",
        "Redis": "redis-server" if redis.is_installed() else "REDIS_URL",
        "Apache Kafka": f"java, {apache_kafka.jars()}" if apache_kafka.is_installed() else "KAFKA_BOOTSTRAP_SERVERS",
    }
    for marker, service in (("redis", "Redis"), ("kafka", "Apache Kafka")):
        if marker in lacks:
            found[service] = f"none ({lacks[marker]}): the tests marked `{marker}` are left out"
    found |= {marker: program(marker) or f"none: the tests marked `{marker}` are left out" for marker in PROGRAMS}
    return [f"{service}: {how}" for service, how in found.items()]
