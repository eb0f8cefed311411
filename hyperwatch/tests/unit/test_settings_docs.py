"""`.env.example`, docker-compose.yml and the code speak of the same settings, with the same defaults."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings

from hyperwatch.harness import apache_kafka
from hyperwatch.harness.postgres import COMPOSE_OPTIONS
from hyperwatch.tests.services.environment import ROOT, setting_names

EXAMPLE = (ROOT / ".env.example").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()
READ = re.compile(r"""(?:\benv\.\w+|\bEnv\(\)\.\w+|environ\.get)\(\s*"([A-Z][A-Z0-9_]*)\"""")

ONLY_FOR_COMPOSE = {"POSTGRES_PASSWORD", "WEB_PORTS"}
# And for benchmarks, which find Apache Kafka where the tests do.
ONLY_FOR_TESTS = {"INGEST_KILL_AT", "INGEST_PAUSE_AT", "INGEST_HANG_AT", "ENV_FILE", "KAFKA_LIBS", "XDG_CACHE_HOME"}
# Of the embedded parts, and the port that PORT says already.
NOT_IN_A_CONTAINER = {"DATA_DIR", "EMBEDDED_POSTGRES", "DEMO_MARKET", "SERVER_PORT"}
# An example in place of a default.
NO_DEFAULT = {"DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS", "DATA_DIR"}


def names_read() -> set[str]:
    rooms = ["hyperwatch", "realtime", *settings.DOMAINS]
    files = [path for room in rooms for path in (ROOT / room).rglob("*.py") if "tests" not in path.parts]
    return {name for path in files for name in READ.findall(path.read_text())} - ONLY_FOR_TESTS


def settings_with(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> dict[str, Any]:
    with monkeypatch.context() as patch:
        for name in setting_names() - {"DATA_DIR", "SECRET_KEY"}:
            patch.delenv(name, raising=False)
        for name, value in values.items():
            patch.setenv(name, value)
        found = runpy.run_path(str(ROOT / "hyperwatch" / "settings.py"))
    return {name: value for name, value in found.items() if name.isupper()}


def test_every_setting_stands_in_the_example_and_no_other() -> None:
    assert setting_names() == names_read() | ONLY_FOR_COMPOSE


def test_example_defaults_equal_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = dict(re.findall(r"^# ([A-Z][A-Z0-9_]*)=(.+)$", EXAMPLE, re.MULTILINE))
    answer = {name: value for name, value in answer.items() if name not in NO_DEFAULT}
    assert len(answer) > 20
    assert settings_with(monkeypatch, answer) == settings_with(monkeypatch, {})


@pytest.mark.parametrize("service", ["init", "web", "consumer", "simulate", "prune"])
def test_compose_hands_every_setting_to_our_services(service: str) -> None:
    handed = yaml.safe_load(COMPOSE)["services"][service]["environment"]
    assert set(handed) == names_read() - NOT_IN_A_CONTAINER


def test_compose_uses_only_documented_variables() -> None:
    assert set(re.findall(r"\$\{([A-Z_]+)", COMPOSE)) <= setting_names()


def test_compose_makes_up_no_secret() -> None:
    assert "${SECRET_KEY:?" in COMPOSE
    assert set(re.findall(r"\$\{POSTGRES_PASSWORD(..)", COMPOSE)) == {":?"}


def test_the_tests_kafka_is_that_of_compose() -> None:
    assert yaml.safe_load(COMPOSE)["services"]["kafka"]["image"] == f"apache/kafka:{apache_kafka.VERSION}"


def test_bench_postgres_options_equal_compose() -> None:
    command = yaml.safe_load(COMPOSE)["services"]["postgres"]["command"]
    assert command == ["postgres", *(word for item in COMPOSE_OPTIONS.items() for word in ("-c", "=".join(item)))]


def test_the_image_needs_no_root() -> None:
    lines = Path(ROOT / "Dockerfile").read_text().splitlines()
    assert lines.index("USER hyperwatch") < next(n for n, line in enumerate(lines) if line.startswith("CMD"))
