"""Addresses of the services of a running `up`, published in locked files for other shells; and the secret key.

Nothing here starts a process, because the settings of every command read these files.
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
    """The DATABASE_URL of a running `up`, else the URL of the embedded PostgreSQL with its data in `var`."""
    return _locked_content(database_file(var)) or postgres.url(var)


def is_database_published(var: Path) -> bool:
    return bool(_locked_content(database_file(var)))


def redis_url(var: Path) -> str:
    """The REDIS_URL of a running `up`, or the empty string."""
    return _locked_content(redis_file(var))


def kafka(var: Path) -> str:
    """The brokers of a running `up`, else `host:port` of its embedded one, or the empty string."""
    return _locked_content(kafka_file(var))


def port(var: Path) -> int:
    """The port of a running `up`, else 0."""
    return int(_locked_content(port_file(var)) or 0)


@contextmanager
def publish_address(file: Path, address: str) -> Iterator[None]:
    """Publishes `address` in `file` (mode 0600: it may contain a password) while the context is open."""
    file.parent.mkdir(parents=True, exist_ok=True)
    locked = acquire_lock(file, timeout=0.2, mode=0o600)
    if locked is None:
        # Another `up` of this folder has published its address.
        yield
        return
    try:
        locked.truncate(0)
        locked.write(f"{address}\n".encode())
        locked.flush()
        yield
    finally:
        # Removed before the lock is released: another process that starts now creates a new file.
        file.unlink(missing_ok=True)
        locked.close()


def _locked_content(file: Path) -> str:
    return file.read_text().strip() if is_locked(file) else ""


def secret_key(var: Path) -> str:
    """The generated SECRET_KEY of this installation, used if the setting is unset."""
    return read_or_create(var / "secret_key", lambda: secrets.token_urlsafe(48))
