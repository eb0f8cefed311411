"""Invalid settings are rejected at its start: all at once, each by name."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from hyperwatch.env import InvalidSettings
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
    with pytest.raises(InvalidSettings) as refused:
        settings_with(monkeypatch, SEVERAL)
    check_report(str(refused.value))


def run_python(*arguments: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env={**os.environ, **env}, capture_output=True, text=True, timeout=60
    )


# `help` is the command for which Django ignores settings that cannot be imported.
@pytest.mark.parametrize("command", [("manage.py", "help"), ("-m", "daphne", "hyperwatch.asgi:application")])
def test_process_with_invalid_settings_reports_only_them(command: tuple[str, ...]) -> None:
    done = run_python(*command, env=SEVERAL)
    assert (done.returncode, done.stdout) == (1, "")
    check_report(done.stderr)


@pytest.mark.parametrize(
    ("name", "value", "answer"),
    [
        ("DATABASE_URL", "localhost:5432/hyperwatch", "another scheme"),
        ("DATABASE_URL", "postgresql://host:99999/hyperwatch", "port"),
        ("DATABASE_URL", "postgresql://host:0/hyperwatch", "port 0"),
        ("DATABASE_URL", "postgresql://user:pa#ss@host/hyperwatch", "%23"),
        ("DATABASE_URL", "postgresql://host", "no database"),
        ("DATABASE_URL", "postgresql://host/name?sslmodus=require", 'option "sslmodus"'),
        ("DATABASE_URL", "postgresql://user:p@one:5432,two:99999/name", "port"),
        ("DATABASE_URL", "postgresql://one,two/name?target_session_attrs=master", "read-write, read-only, primary"),
        ("DATABASE_URL", "postgresql://hyperwatch:change-me@host/hyperwatch", "POSTGRES_PASSWORD"),
        ("REDIS_URL", "localhost:6379", "another scheme"),
        ("REDIS_URL", "redis://", "no host"),
        ("REDIS_URL", "redis://host:70000", "port"),
        ("REDIS_URL", "redis://host/first", "number"),
        ("REDIS_URL", "redis://host?db=first", "number"),
        ("REDIS_URL", "unix://", "socket"),
        ("REDIS_PREFIX", "", "1 to 100"),
        ("KAFKA_BOOTSTRAP_SERVERS", "host:9092,other:port", "'other:port'"),
        ("KAFKA_BOOTSTRAP_SERVERS", "host:99999", "host:9092"),
        ("KAFKA_SECURITY_PROTOCOL", "TLS", "one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL, not 'TLS'"),
        ("KAFKA_SSL_ENDPOINT_IDENTIFICATION_ALGORITHM", "http", "https, none"),
        ("KAFKA_SASL_USERNAME", "hw", "needs KAFKA_SECURITY_PROTOCOL=SASL_SSL or SASL_PLAINTEXT, not PLAINTEXT"),
        ("KAFKA_SSL_CA_LOCATION", "/nowhere/ca.pem", "'/nowhere/ca.pem'"),
        ("KAFKA_SSL_KEY_PASSWORD", "hunter2", "needs KAFKA_SECURITY_PROTOCOL=SSL or SASL_SSL"),
        ("KAFKA_OPTIONS", "client.id", "key=value"),
        ("KAFKA_OPTIONS", "client.id=hw,group.id=other", "its own setting: KAFKA_GROUP_ID"),
        ("KAFKA_OPTIONS", "enable.auto.commit=true", "fixed"),
        ("KAFKA_TOPIC_TRANSACTIONS", " ", "topic name"),
        ("KAFKA_TOPIC_COMPUTED_DATA", "a/b", "'a/b'"),
        ("KAFKA_TOPIC_COMPUTED_DATA", "hyperliquid.transactions", "must differ"),
        ("KAFKA_GROUP_ID", "", "without spaces"),
        ("KAFKA_REPLICATION_FACTOR", "0", "1 to 16"),
        ("SERVER_HOST", "", "to listen on"),
        ("SERVER_PORT", "http", "1 to 65535"),
        ("PORT", "0", "1 to 65535"),
        ("CONSUMER_STATUS_PORT", "-1", "0 to 65535"),
        ("STREAM_SYNC_INTERVAL_SECONDS", "nan", "0.05 to 60"),
        ("STREAM_HISTORY_MAX_BYTES", "1", "65536"),
        ("WHALE_LARGE_TRADE_USD", "1e999999999", "less than"),
        ("THROTTLE_READS", "many", "6000/minute"),
        ("ALLOW_ANONYMOUS_READS", "perhaps", "true or false, not 'perhaps'"),
        ("DEMO_MARKET", "maybe", "true or false"),
        ("NUM_PROXIES", "17", "0 to 16"),
        ("BEHIND_TLS_PROXY", "true", "set NUM_PROXIES"),
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
    with pytest.raises(InvalidSettings) as refused:
        settings_with(monkeypatch, {name: value})
    assert set(refused.value.errors) == {name}
    assert answer in refused.value.errors[name]
    assert f"\n  {name} " in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgresql://user:p%23ss@db.example.com/hyperwatch?sslmode=require"),
        ("DATABASE_URL", "postgres://hyperwatch@%2Frun%2Fpostgresql:5432/hyperwatch"),
        ("DATABASE_URL", "postgresql:///hyperwatch"),
        ("DATABASE_URL", "postgres://user:p%40ss@one:5432,two/name?target_session_attrs=read-write"),
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


def test_several_database_hosts_become_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "postgres://user:p%40ss@one:5433,%2Frun%2Fpostgresql,[::1]:5434/name?target_session_attrs=read-write"
    database = settings_with(monkeypatch, {"DATABASE_URL": url})["DATABASES"]["default"]
    assert (database["HOST"], database["PORT"]) == ("one,/run/postgresql,::1", "5433,5432,5434")
    assert (database["USER"], database["PASSWORD"], database["NAME"]) == ("user", "p@ss", "name")
    assert database["OPTIONS"]["target_session_attrs"] == "read-write"


@pytest.mark.parametrize(
    ("given", "errors"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, {"KAFKA_SASL_MECHANISM": "is required by"}),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_USERNAME": "hw"},
            {"KAFKA_SASL_PASSWORD": "is required by KAFKA_SASL_MECHANISM=PLAIN"},
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CERTIFICATE_LOCATION": __file__},
            {"KAFKA_SSL_KEY_LOCATION": "is required by KAFKA_SSL_CERTIFICATE_LOCATION"},
        ),
    ],
)
def test_incomplete_kafka_security_names_missing_setting(
    given: dict[str, str], errors: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidSettings) as rejected:
        settings_with(monkeypatch, given)
    assert set(rejected.value.errors) == set(errors)
    assert [text for name, text in errors.items() if text not in rejected.value.errors[name]] == []


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            {"STREAM_RETENTION_DAYS": "liq=3,transactions=30"},
            "STREAM_RETENTION_DAYS must name streams (liquidation_map, liquidations, long_short_ratios, "
            "position_summaries, transactions, whale_activities), not 'liq'",
        ),
        (
            {"KAFKA_OPTIONS": "no.such.option=1"},
            'KAFKA_OPTIONS is rejected by librdkafka: No such configuration property: "no.such.option"',
        ),
        (
            {"KAFKA_OPTIONS": "ssl.key.pem=hunter2", "KAFKA_SECURITY_PROTOCOL": "SSL"},
            "KAFKA_OPTIONS is rejected by librdkafka: ssl.key.pem failed: not in PEM format?",
        ),
    ],
)
def test_settings_that_parts_reject_stop_every_command(given: dict[str, str], line: str) -> None:
    done = run_python("manage.py", "check", env=given)
    assert (done.returncode, done.stdout) == (1, "")
    first, second = done.stderr.splitlines()
    assert first == "Invalid settings. Fix them in the environment or in .env:"
    assert second.strip().startswith(line)
    assert "hunter2" not in done.stderr


def test_copied_example_is_rejected_for_its_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = tmp_path / ".env"
    copied.write_text((ROOT / ".env.example").read_text())
    monkeypatch.delenv("SECRET_KEY")
    with pytest.raises(InvalidSettings) as refused:
        settings_with(monkeypatch, {"ENV_FILE": str(copied)})
    assert "SECRET_KEY is still the example's change-me" in str(refused.value)
    assert "python3 -c" in str(refused.value)


def test_a_folder_that_cannot_keep_the_secret_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InvalidSettings) as refused:
        settings_with(monkeypatch, {"DATA_DIR": str(file / "var"), "SECRET_KEY": ""})
    assert f"DATA_DIR must be a writable folder, not '{file}/var'" in str(refused.value)


def check_with_file(folder: Path, text: str, **env: str) -> subprocess.CompletedProcess[str]:
    file = folder / ".env"
    file.write_text(text)
    return run_python("manage.py", "check", env={"ENV_FILE": str(file), **env})


def test_misspelt_names_in_file_are_rejected(tmp_path: Path) -> None:
    meant = {
        "HTTP_WORKER_THREAD": "HTTP_WORKER_THREADS",
        "REDSI_URL": "REDIS_URL",
        "ALLOW_ANONYMOUS_READ": "ALLOW_ANONYMOUS_READS",
        "database_url": "DATABASE_URL",
        "POSTGRES_PASSWRD": "POSTGRES_PASSWORD",
    }
    done = check_with_file(tmp_path, "".join(f"{name}=hunter2\n" for name in meant))
    assert (done.returncode, done.stdout) == (1, "")
    errors = [f"  {name} is not a setting (in {tmp_path}/.env); did you mean {right}?" for name, right in meant.items()]
    assert done.stderr.splitlines() == ["Invalid settings. Fix them in the environment or in .env:", *errors]


def test_misspelt_name_is_listed_with_other_errors(tmp_path: Path) -> None:
    done = check_with_file(tmp_path, "KAFKA_GROUP=a\nKAFKA_GROUP_IDS=b\nLOG_LEVEL=loud\n")
    assert [line.split()[0] for line in done.stderr.splitlines()[1:]] == ["LOG_LEVEL", "KAFKA_GROUP", "KAFKA_GROUP_IDS"]


def test_other_unknown_names_in_file_are_warnings(tmp_path: Path) -> None:
    hints = {"KAFKA_HEAP_OPTS": "; did you mean KAFKA_OPTIONS?", "PROT": "; did you mean PORT?", "EDITOR": ""}
    done = check_with_file(tmp_path, "".join(f"{name}=hunter2\n" for name in hints))
    assert done.returncode == 0
    for name, hint in hints.items():
        (line,) = [line for line in done.stderr.splitlines() if name in line]
        assert f"{name} is not a setting (in {tmp_path}/.env){hint} " in line
    assert "hunter2" not in done.stderr


def test_names_for_docker_compose_and_other_programs_are_accepted(tmp_path: Path) -> None:
    names = ("POSTGRES_PASSWORD", "WEB_PORTS", "COMPOSE_PROFILES", "DOCKER_HOST")
    environment_of_others = {"HTTP_WORKER_THREAD": "1", "REDSI_URL": "x"}
    done = check_with_file(tmp_path, "".join(f"{name}=x\n" for name in names), **environment_of_others)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_name_of_the_example_is_known(tmp_path: Path) -> None:
    text = re.sub(r"^# ([A-Z][A-Z0-9_]*)=.*$", r"\1=", (ROOT / ".env.example").read_text(), flags=re.MULTILINE)
    assert len(re.findall(r"^[A-Z0-9_]+=", text, re.MULTILINE)) > 50
    assert "is not a setting" not in check_with_file(tmp_path, text).stderr


def test_what_stands_in_the_file_counts_for_every_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / ".env"
    file.write_text("DEMO_MARKET=0\nKAFKA_BOOTSTRAP_SERVERS=host:9092\nEMBEDDED_POSTGRES=wheel\n")
    found = settings_with(monkeypatch, {"ENV_FILE": str(file)})
    assert (found["DEMO_MARKET"], found["KAFKA_IS_GIVEN"], found["EMBEDDED_POSTGRES"]) == (False, True, "wheel")
