"""The embedded PostgreSQL: a persistent database cluster of this installation.

It listens only on a Unix socket in a private folder. Commits are durable (fsync stays on).
"""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO
from urllib.parse import quote

import psycopg2  # type: ignore[import-untyped, unused-ignore]

from hyperwatch.embedded import CannotStartError
from hyperwatch.embedded.binaries import find_binaries
from hyperwatch.embedded.child_process import spawn, terminate
from hyperwatch.embedded.file_lock import acquire_lock
from hyperwatch.embedded.os_account import Account, account_and_home, digest

NAME = "hyperwatch"
PORT = 5432
MAX_CONNECTIONS = 100
# Time for the server of a killed run to shut down.
LOCK_TIMEOUT_SECONDS = 5.0


def socket_folder(var: Path) -> Path:
    # A socket's path is limited to 107 bytes, so not in `var`. TMPDIR may differ between shells.
    return Path("/tmp") / f"hyperwatch-{digest(var)}"  # noqa: S108 (created private, or rejected, at start)


def url(var: Path, database: str = NAME) -> str:
    """The URL of the database of `var`, whether it runs or not."""
    return f"postgres://{NAME}@{quote(str(socket_folder(var)), safe='')}:{PORT}/{database}"


class EmbeddedPostgres:
    """The PostgreSQL of `var`; a context manager that returns its URL.

    As root, its files belong to another account and may be outside of `var` (os_account.py). A test therefore uses a
    folder with mode 0711, or calls `remove`. `options` are additional PostgreSQL settings.
    """

    def __init__(self, var: Path, options: Mapping[str, str] | None = None) -> None:
        self.var = var.resolve()
        self._options = options or {}
        self.major = 0
        self.home = self.var / "postgres"
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def start(self) -> str:
        """Returns the URL once the server accepts connections; raises CannotStartError."""
        try:
            self._start()
        except (OSError, subprocess.SubprocessError) as error:
            self.stop()
            raise CannotStartError(f"The embedded PostgreSQL cannot be started: {error}; set DATABASE_URL") from error
        except BaseException:
            self.stop()
            raise
        return url(self.var)

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def watch(self, stop: threading.Event) -> None:
        """Returns when `stop` is set or the server has exited."""
        while self.is_alive and not stop.wait(0.5):
            pass

    def log_tail(self) -> str:
        """The last lines of its log, also after `stop`."""
        log = self.home / "log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-8:]) if log.exists() else ""

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            terminate(process)
            with contextlib.suppress(OSError):
                socket_folder(self.var).rmdir()
        if self._log is not None:
            self._log.close()

    def crash(self) -> None:
        """Stops it with SIGQUIT (immediate shutdown); the next `start` recovers committed data from the WAL."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGQUIT)
            self._process.wait()
        self.stop()

    def remove(self) -> None:
        """Stops it and deletes its data folder."""
        self.stop()
        _, home = account_and_home(self.var)
        shutil.rmtree(home)
        (self.var / "postgres.elsewhere").unlink(missing_ok=True)

    def __enter__(self) -> str:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        self.var.mkdir(parents=True, exist_ok=True)
        account, self.home = account_and_home(self.var)
        self._log = _lock_log(self.home)
        data = self.home / "data"
        binaries = find_binaries(account, self.home, _major_version(data))
        self.major = binaries.major
        if not data.exists():
            _initialise(account, binaries.folder / "initdb", data)
        account.create_private(socket_folder(self.var))
        # Every process of a server holds the lock of the log. The lock was free, so this PID file is stale.
        (data / "postmaster.pid").unlink(missing_ok=True)
        command = _command(binaries.folder, data, socket_folder(self.var), self._options)
        self._process = spawn(account, command, self._log)
        self._wait_until_ready()

    def _wait_until_ready(self, timeout: float = 120.0) -> None:
        deadline = time.monotonic() + timeout
        while not _create_database(self.var):
            if not self.is_alive or time.monotonic() > deadline:
                raise CannotStartError(f"The embedded PostgreSQL did not start. Its log ends:\n{self.log_tail()}")
            time.sleep(0.02)


def _lock_log(home: Path) -> IO[bytes]:
    log = acquire_lock(home / "log", timeout=LOCK_TIMEOUT_SECONDS)
    if log is None:
        raise CannotStartError("The embedded PostgreSQL of this folder is running already: stop the other `make run`")
    log.truncate(0)
    return log


def _major_version(data: Path) -> int | None:
    return int((data / "PG_VERSION").read_text()) if data.exists() else None


def _initialise(account: Account, initdb: Path, data: Path) -> None:
    partial = data.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    # The C locale sorts identically on every machine and version. `trust` is safe: only the owner can enter the
    # folder of the socket.
    options = ["-U", NAME, "-A", "trust", "-E", "UTF8", "--locale=C"]
    completed = account.run([initdb, "-D", partial, *options])
    if completed.returncode != 0:
        raise CannotStartError(f"initdb of the embedded PostgreSQL failed, set DATABASE_URL:\n{completed.stderr}")
    partial.rename(data)


def _command(binaries: Path, data: Path, sockets: Path, options: Mapping[str, str]) -> list[str]:
    settings = {
        **options,
        "unix_socket_directories": sockets,
        "unix_socket_permissions": "0700",
        "listen_addresses": "",
        "port": PORT,
        "max_connections": MAX_CONNECTIONS,
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
    }
    return [
        str(binaries / "postgres"),
        "-D",
        str(data),
        *(f"--{key}={value}" for key, value in settings.items()),
    ]


def _create_database(var: Path) -> bool:
    """Creates the database if it is missing; False while the server does not accept connections."""
    try:
        connection = psycopg2.connect(url(var, "postgres"))
    except psycopg2.OperationalError:
        return False
    with contextlib.closing(connection):
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [NAME])
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE DATABASE {NAME}")
    return True
