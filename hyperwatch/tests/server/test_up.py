import http.client
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from hyperwatch.embedded import runtime_files
from hyperwatch.embedded.local_secrets import read_or_create, write_secret
from hyperwatch.embedded.postgres import EmbeddedPostgres, socket_folder
from hyperwatch.embedded.worker_threads import WorkerThreads
from hyperwatch.harness.app_process import AppProcess
from hyperwatch.harness.postgres import Database
from hyperwatch.harness.process import free_port
from hyperwatch.server import daphne
from hyperwatch.tests.services.environment import ROOT
from hyperwatch.tests.services.waiting import wait_until

NOTHING_CONFIGURED = {"DATABASE_URL": "", "REDIS_URL": "", "KAFKA_BOOTSTRAP_SERVERS": "", "ADMIN_PASSWORD": ""}


def test_secret_is_created_once_and_private(tmp_path: Path) -> None:
    file = tmp_path / "var" / "secret"
    assert read_or_create(file, lambda: "first") == "first"
    assert read_or_create(file, lambda: "second") == "first"
    write_secret(file, "third")
    assert read_or_create(file, lambda: "fourth") == "third"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]


def waits(stop: threading.Event) -> None:
    stop.wait()


def test_a_part_that_fails_ends_everything(caplog: pytest.LogCaptureFixture) -> None:
    reported = threading.Event()
    parts = WorkerThreads(on_failure=reported.set)

    def fails(stop: threading.Event) -> None:
        raise LookupError("on purpose")

    parts.start("The other", waits)
    parts.start("This one", fails)
    assert reported.wait(5)
    parts.stop_all()
    assert parts.failed_worker == "This one"
    assert "This one failed" in caplog.text


def test_part_stopped_on_request_has_not_failed() -> None:
    parts = WorkerThreads(on_failure=lambda: pytest.fail("nothing failed"))
    parts.start("This one", waits)
    parts.stop_all()
    assert parts.failed_worker is None


def test_occupied_port_is_reported_with_advice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(daphne.CannotListenError, match=rf"Port {port} is in use.*PORT={port + 1}"):
            daphne.ensure_bindable("127.0.0.1", port)
    daphne.ensure_bindable("127.0.0.1", port)


def test_foreign_address_is_reported_by_setting_name() -> None:
    with pytest.raises(daphne.CannotListenError, match=r"SERVER_HOST=192\.0\.2\.1"):
        daphne.ensure_bindable("192.0.2.1", 8080)


@pytest.fixture
def var() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hyperwatch-test-"))
    folder.chmod(0o711)
    yield folder
    EmbeddedPostgres(folder).remove()
    shutil.rmtree(folder)


@pytest.fixture
def up(var: Path, tmp_path: Path) -> Iterator[AppProcess]:
    command = AppProcess("up", tmp_path, {**NOTHING_CONFIGURED, "DATA_DIR": str(var)})
    yield command
    command.kill()


def open_connections(port: int) -> list[object]:
    """One connection of each kind that could delay a shutdown: fresh, idle keep-alive, WebSocket."""
    fresh = socket.create_connection(("127.0.0.1", port))
    alive = http.client.HTTPConnection("127.0.0.1", port)
    alive.request("GET", "/health")
    assert json.loads(alive.getresponse().read()) == {"status": "healthy"}
    return [fresh, alive, connect(f"ws://127.0.0.1:{port}/ws")]


def processes_of(var: Path) -> list[str]:
    """The command lines that name the folder, the sockets' included."""
    names = (str(var), str(socket_folder(var)))
    lines = (_command_line(folder) for folder in Path("/proc").iterdir() if folder.name.isdigit())
    return [line for line in lines if any(name in line for name in names)]


def head(up: AppProcess) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", up.port)
    connection.request("GET", "/api/v1/transactions?page_size=1")
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return int(answer["data"]["head"])


def test_up_starts_with_data_stops_and_resumes(up: AppProcess, var: Path) -> None:
    up.start()
    wait_until(lambda: head(up) > 0, "the demo market's first facts")
    opened = open_connections(up.port)
    second = in_a_second_shell(var, "up", PORT=str(free_port()))
    assert second.returncode == 1
    assert "is running already" in second.stderr
    before = head(up)
    up.signal(signal.SIGINT)
    assert up.wait() == 0
    assert processes_of(var) == []
    assert up.unexpected_traceback() == ""
    del opened
    up.start()
    wait_until(lambda: head(up) > before, "facts after the second start")
    up.signal(signal.SIGTERM)
    assert up.wait() == 0
    assert processes_of(var) == []
    assert "SIMULATED" in up.output()


def test_failed_postgres_shows_its_log_and_disk(up: AppProcess, var: Path) -> None:
    up.launch()
    up.wait_until_ready(120)
    wait_until(lambda: head(up) > 0, "the demo market's first facts", 60)
    pid = int((var / "postgres/data/postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)
    assert up.wait() == 1
    output = up.output()
    failure = output[output.index("PostgreSQL failed, so all services were stopped") :]
    assert "PostgreSQL's log ends:\n" in failure
    assert "received immediate shutdown request" in failure
    assert re.search(rf"Disk of {var}/postgres: [\d,.]+ of [\d,.]+ GB free", failure)
    assert "Traceback" not in output


def test_unwritable_data_folder_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for command in ("up", "serve"):
        ended = in_a_second_shell(file / "var", command, PORT=str(free_port()))
        assert (ended.returncode, ended.stdout) == (1, "")
        (line,) = [text for text in ended.stderr.splitlines() if "The database cannot be reached" not in text]
        assert line.startswith(f"CommandError: DATA_DIR must be a writable folder, not '{file}/var'")
        assert "Not a directory" in line


def in_a_second_shell(var: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    shell = {**os.environ, **NOTHING_CONFIGURED, "DATA_DIR": str(var), **env}
    command = [sys.executable, "manage.py", *(arguments or ("dead_letters", "list"))]
    return subprocess.run(command, cwd=ROOT, env=shell, capture_output=True, text=True, timeout=60)


def test_second_shell_finds_database_of_first(fresh_database: Database, var: Path, tmp_path: Path) -> None:
    fresh_database.query(
        "INSERT INTO dead_letters (topic, partition, \"offset\", reason, error) VALUES ('t', 0, 7, 'NOT_JSON', 'e')"
    )
    given = {**NOTHING_CONFIGURED, **fresh_database.env, "DATA_DIR": str(var), "DEMO_MARKET": "0"}
    up, file = AppProcess("up", tmp_path, given), var / "database.url"
    up.start()
    try:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert "t[0]@7 NOT_JSON" in in_a_second_shell(var).stdout
        own = in_a_second_shell(var, DATABASE_URL=f"postgresql://127.0.0.1:{free_port()}/own")
        assert (own.returncode, own.stdout) == (1, "")
        assert f":{up.port}/ws" in in_a_second_shell(var, "tail", "--help").stdout
        assert ":7070/ws" in in_a_second_shell(var, "tail", "--help", PORT="7070").stdout
    finally:
        up.stop()
    assert not file.exists()
    assert not (var / "kafka.address").exists()
    assert in_a_second_shell(var).returncode == 1


def test_published_address_is_private_and_temporary(tmp_path: Path) -> None:
    for file, found in (
        (runtime_files.database_file(tmp_path), runtime_files.database_url),
        (runtime_files.redis_file(tmp_path), runtime_files.redis_url),
        (runtime_files.kafka_file(tmp_path), runtime_files.kafka),
    ):
        before = found(tmp_path)
        with runtime_files.publish_address(file, "the first's"), runtime_files.publish_address(file, "another's"):
            assert found(tmp_path) == "the first's"
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert found(tmp_path) == before
        # A killed run leaves the file, and holds it no more.
        file.write_text("a dead one's")
        assert found(tmp_path) == before


def _command_line(folder: Path) -> str:
    try:
        return (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
