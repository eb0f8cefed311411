"""The embedded PostgreSQL: a cluster of this installation's own, which stays from one start to the next.

It listens on a socket in a private folder and nowhere else, and keeps what it commits (fsync stays on).
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
from hyperwatch.embedded.binaries import find
from hyperwatch.embedded.child_process import spawn, terminate
from hyperwatch.embedded.file_lock import acquire_lock
from hyperwatch.embedded.os_account import Account, account_and_home, digest

NAME = "hyperwatch"
PORT = 5432
CONNECTIONS = 100
# How long the server of a killed run may take to end.
PATIENCE = 5.0


def socket_folder(var: Path) -> Path:
    # A socket's path has 107 bytes and a clone may lie deep; TMPDIR may differ between shells that meet here.
    return Path("/tmp") / f"hyperwatch-{digest(var)}"  # noqa: S108 (made private, or refused, at the start)


def url(var: Path, database: str = NAME) -> str:
    """Where the database of `var` is or will be; nothing need be running."""
    return f"postgres://{NAME}@{quote(str(socket_folder(var)), safe='')}:{PORT}/{database}"


class EmbeddedPostgres:
    """The PostgreSQL of `var`, from `start` to `stop`; a context manager that gives its URL.

    As root its files are another account's. Where that account cannot enter `var` they are kept outside of it
    (account.py): a folder for a test's data is best one that everyone may enter (0711), or is `remove`d. `options` are
    settings of PostgreSQL's beside our own.
    """

    def __init__(self, var: Path, options: Mapping[str, str] | None = None) -> None:
        self.var = var.resolve()
        self._options = options or {}
        self.major = 0
        self.home = self.var / "postgres"
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def start(self) -> str:
        """Returns the URL once connections are answered; raises CannotStartError."""
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
        """Returns when `stop` is set, or when the server has ended by itself."""
        while self.is_alive and not stop.wait(0.5):
            pass

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            terminate(process)
            with contextlib.suppress(OSError):
                socket_folder(self.var).rmdir()
        if self._log is not None:
            self._log.close()

    def crash(self) -> None:
        """Ends it at once, as a power cut would; `start` brings back what was committed."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGQUIT)
            self._process.wait()
        self.stop()

    def remove(self) -> None:
        """Stops it and deletes its data, wherever it is."""
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
        self._log = _hold_log(self.home)
        data = self.home / "data"
        binaries = find(account, self.home, _major_of(data))
        self.major = binaries.major
        if not data.exists():
            _initialise(account, binaries.folder / "initdb", data)
        account.own(socket_folder(self.var))
        # Every process of a server holds the log: since we could take it, whoever wrote this is gone.
        (data / "postmaster.pid").unlink(missing_ok=True)
        command = _command(binaries.folder, data, socket_folder(self.var), self._options)
        self._process = spawn(account, command, self._log)
        self._wait_until_ready()

    def _wait_until_ready(self, timeout: float = 120.0) -> None:
        deadline = time.monotonic() + timeout
        while not _create_database(self.var):
            if not self.is_alive or time.monotonic() > deadline:
                raise CannotStartError(
                    f"The embedded PostgreSQL did not start. The end of its log:\n{self._last_words()}"
                )
            time.sleep(0.02)

    def _last_words(self) -> str:
        return "\n".join(Path(self._log.name).read_text(errors="replace").splitlines()[-8:]) if self._log else ""


def _hold_log(home: Path) -> IO[bytes]:
    log = acquire_lock(home / "log", wait=PATIENCE)
    if log is None:
        raise CannotStartError("The embedded PostgreSQL of this folder runs already: is there another `make run`?")
    log.truncate(0)
    return log


def _major_of(data: Path) -> int | None:
    return int((data / "PG_VERSION").read_text()) if data.exists() else None


def _initialise(account: Account, initdb: Path, data: Path) -> None:
    begun = data.with_suffix(".begun")
    shutil.rmtree(begun, ignore_errors=True)
    # The C locale sorts alike on every machine and in every version; only those who can enter the socket's
    # folder get as far as being trusted.
    options = ["-U", NAME, "-A", "trust", "-E", "UTF8", "--locale=C"]
    made = account.run([initdb, "-D", begun, *options])
    if made.returncode != 0:
        raise CannotStartError(f"The embedded PostgreSQL's data could not be made, set DATABASE_URL:\n{made.stderr}")
    begun.rename(data)


def _command(binaries: Path, data: Path, sockets: Path, options: Mapping[str, str]) -> list[str]:
    settings = {
        **options,
        "unix_socket_directories": sockets,
        "unix_socket_permissions": "0700",
        "listen_addresses": "",
        "port": PORT,
        "max_connections": CONNECTIONS,
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
    """Makes our database where it is missing; False while the server does not answer."""
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
