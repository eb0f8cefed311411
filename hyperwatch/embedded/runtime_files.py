"""Where the parts are that a running `up` uses, for whoever asks in another shell; and the installation's secret.

Nothing here starts anything: settings are read by every command, in every shell.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hyperwatch.embedded import postgres
from hyperwatch.embedded.file_lock import acquire_lock, is_locked
from hyperwatch.embedded.local_secrets import read_or_create


def database_file(var: Path) -> Path:
    return var / "database.url"


def redis_file(var: Path) -> Path:
    return var / "redis.url"


def kafka_file(var: Path) -> Path:
    return var / "kafka.address"


def port_file(var: Path) -> Path:
    return var / "port"


def database_url(var: Path) -> str:
    """The URL that a running `up` was given, else that of the embedded PostgreSQL that keeps its data in `var`."""
    return _locked_content(database_file(var)) or postgres.url(var)


def is_database_published(var: Path) -> bool:
    return bool(_locked_content(database_file(var)))


def redis_url(var: Path) -> str:
    """The URL that a running `up` was given, or the empty string."""
    return _locked_content(redis_file(var))


def kafka(var: Path) -> str:
    """The brokers that a running `up` was given, else `host:port` of the one it brought, or the empty string."""
    return _locked_content(kafka_file(var))


def port(var: Path) -> int:
    """Where a running `up` listens, 0 where none does."""
    return int(_locked_content(port_file(var)) or 0)


@contextmanager
def publish_address(file: Path, address: str) -> Iterator[None]:
    """Meanwhile every shell of the same user finds `address` in `file`; nobody else, since it may hold a password."""
    file.parent.mkdir(parents=True, exist_ok=True)
    held = acquire_lock(file, wait=0.2, mode=0o600)
    if held is None:
        # Another `up` of this folder tells of its own.
        yield
        return
    try:
        held.truncate(0)
        held.write(f"{address}\n".encode())
        held.flush()
        yield
    finally:
        # Removed before it is let go: another that starts at this moment makes a file of its own.
        file.unlink(missing_ok=True)
        held.close()


def _locked_content(file: Path) -> str:
    return file.read_text().strip() if is_locked(file) else ""


def secret_key(var: Path) -> str:
    """The secret of this installation, made once, for those who set none."""
    return read_or_create(var / "secret_key", lambda: secrets.token_urlsafe(48))
