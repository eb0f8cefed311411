"""Invalid settings are rejected before anything starts: all at once, by name."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hyperwatch.configuration import SettingsRefused
from hyperwatch.tests.services.environment import ROOT
from hyperwatch.tests.unit.test_settings_docs import settings_with

SEVERAL = {
    "DATABASE_URL": "mysql://root:hunter2@db:3306/app",
    "REDIS_URL": "http://:hunter2@redis",
    "PORT": "99999",
    "KAFKA_TOPIC_TRANSACTIONS": "",
    "LOG_LEVEL": "loud",
}


def check_report(report: str) -> None:
    lines = report.strip().splitlines()
    assert [line.split()[0] for line in lines[1:]] == [
        "PORT", "DATABASE_URL", "REDIS_URL", "KAFKA_TOPIC_TRANSACTIONS", "LOG_LEVEL",
    ]  # fmt: skip
    assert "1 to 65535, not '99999'" in lines[1]
    assert "hunter2" not in report


def test_invalid_settings_are_reported_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsRefused) as refused:
        settings_with(monkeypatch, SEVERAL)
    check_report(str(refused.value))


# `help` is the command for which Django ignores settings that cannot be imported.
@pytest.mark.parametrize("command", [("manage.py", "help"), ("-m", "daphne", "hyperwatch.asgi:application")])
def test_process_with_invalid_settings_reports_only_them(command: tuple[str, ...]) -> None:
    ended = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env={**os.environ, **SEVERAL}, capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    check_report(ended.stderr)


@pytest.mark.parametrize(
    ("name", "value", "answer"),
    [
        ("DATABASE_URL", "localhost:5432/hyperwatch", "begins otherwise"),
        ("DATABASE_URL", "postgresql://host:99999/hyperwatch", "port"),
        ("DATABASE_URL", "postgresql://host:0/hyperwatch", "port 0"),
        ("DATABASE_URL", "postgresql://user:pa#ss@host/hyperwatch", "%23"),
        ("DATABASE_URL", "postgresql://host", "no database"),
        ("DATABASE_URL", "postgresql://host/name?sslmodus=require", 'option "sslmodus"'),
        ("DATABASE_URL", "postgresql://hyperwatch:change-me@host/hyperwatch", "POSTGRES_PASSWORD"),
        ("REDIS_URL", "localhost:6379", "begins otherwise"),
        ("REDIS_URL", "redis://", "no host"),
        ("REDIS_URL", "redis://host:70000", "port"),
        ("REDIS_URL", "redis://host/first", "number"),
        ("REDIS_URL", "redis://host?db=first", "number"),
        ("REDIS_URL", "unix://", "socket"),
        ("REDIS_PREFIX", "", "1 to 100"),
        ("KAFKA_BOOTSTRAP_SERVERS", "host:9092,other:port", "'other:port'"),
        ("KAFKA_BOOTSTRAP_SERVERS", "host:99999", "host:9092"),
        ("KAFKA_TOPIC_TRANSACTIONS", " ", "topic's name"),
        ("KAFKA_TOPIC_COMPUTED_DATA", "a/b", "'a/b'"),
        ("KAFKA_TOPIC_COMPUTED_DATA", "hyperliquid.transactions", "another topic"),
        ("KAFKA_GROUP_ID", "", "without spaces"),
        ("KAFKA_REPLICATION_FACTOR", "0", "1 to 16"),
        ("SERVER_HOST", "", "to listen on"),
        ("SERVER_PORT", "http", "1 to 65535"),
        ("PORT", "0", "1 to 65535"),
        ("CONSUMER_PORT", "-1", "0 to 65535"),
        ("STREAM_HEADS_SECONDS", "nan", "0.05 to 60"),
        ("STREAM_RING_BYTES", "1", "65536"),
        ("WHALE_LARGE_TRADE_USD", "1e999999999", "less than"),
        ("THROTTLE_READS", "many", "6000/minute"),
        ("READS_OPEN", "perhaps", "true or false, not 'perhaps'"),
        ("DEMO", "maybe", "true or false"),
        ("NUM_PROXIES", "17", "0 to 16"),
        ("HTTPS", "true", "set NUM_PROXIES"),
        ("CORS_ALLOWED_ORIGINS", "example.com", "https://"),
        ("CSRF_TRUSTED_ORIGINS", "*", "origins"),
        ("WEBSOCKET_ALLOWED_ORIGINS", "https://a.example/path", "origins"),
        ("ADMIN_USERNAME", "", "letters"),
        ("LOG_FORMAT", "xml", "console, json"),
        ("EMBEDDED_POSTGRES", "/nowhere", "initdb"),
        ("SECRET_KEY", "change-me", 'python3 -c "import secrets; print(secrets.token_urlsafe(48))"'),
        ("ENV_FILE", "/nowhere/.env", "'/nowhere/.env'"),
        ("ENV_FILE", "/", "'/'"),
    ],
)
def test_what_cannot_be_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str, answer: str) -> None:
    with pytest.raises(SettingsRefused) as refused:
        settings_with(monkeypatch, {name: value})
    assert set(refused.value.wrong) == {name}
    assert answer in refused.value.wrong[name]
    assert f"\n  {name} " in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://user:p%23ss@db.example.com/hyperwatch?sslmode=require"),
        ("DATABASE_URL", "postgres://hyperwatch@%2Frun%2Fpostgresql:5432/hyperwatch"),
        ("DATABASE_URL", "postgresql:///hyperwatch"),
        ("REDIS_URL", "rediss://:secret@redis.example.com:6380/2"),
        ("REDIS_URL", "unix:///run/redis.sock?db=1"),
        ("KAFKA_BOOTSTRAP_SERVERS", "one:9092, two:9092,[::1]:9092,PLAINTEXT://four"),
        ("PORT", ""),
        ("CORS_ALLOWED_ORIGINS", ""),
        ("CSRF_TRUSTED_ORIGINS", "https://*.example.com, http://localhost:3000"),
        ("WEBSOCKET_ALLOWED_ORIGINS", "null,http://[::1]:3000"),
    ],
)
def test_what_can_be_is_taken(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    settings_with(monkeypatch, {name: value})


def test_copied_example_is_rejected_for_its_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = tmp_path / ".env"
    copied.write_text((ROOT / ".env.example").read_text())
    monkeypatch.delenv("SECRET_KEY")
    with pytest.raises(SettingsRefused) as refused:
        settings_with(monkeypatch, {"ENV_FILE": str(copied)})
    assert "SECRET_KEY is still the example's change-me" in str(refused.value)
    assert "python3 -c" in str(refused.value)


def test_a_folder_that_cannot_keep_the_secret_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(SettingsRefused) as refused:
        settings_with(monkeypatch, {"VAR_DIR": str(file / "var"), "SECRET_KEY": ""})
    assert f"VAR_DIR takes a folder that can be written to, not '{file}/var'" in str(refused.value)


def test_what_stands_in_the_file_counts_for_every_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("DEMO=0\nKAFKA_BOOTSTRAP_SERVERS=host:9092\nEMBEDDED_POSTGRES=wheel\n")
    found = settings_with(monkeypatch, {"ENV_FILE": str(file)})
    assert (found["DEMO"], found["KAFKA_IS_GIVEN"], found["EMBEDDED_POSTGRES"]) == (False, True, "wheel")
