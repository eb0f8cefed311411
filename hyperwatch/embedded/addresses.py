"""Where the embedded parts are, for whoever asks, whether they run or not.

Nothing here starts anything: settings are read by every command, in every shell.
"""

import secrets
from pathlib import Path

from hyperwatch.embedded import postgres
from hyperwatch.embedded.held import is_held


def database_url(var: Path) -> str:
    """The URL of the embedded PostgreSQL that keeps its data in `var`."""
    return postgres.url(var)


def kafka_file(var: Path) -> Path:
    return var / "kafka.address"


def kafka(var: Path) -> str:
    """`host:port` of the embedded broker that runs, or the empty string."""
    file = kafka_file(var)
    return file.read_text().strip() if is_held(file) else ""


def secret_key(var: Path) -> str:
    """The secret of this installation, made once and kept in `var`, for those who set none."""
    file = var / "secret_key"
    if not file.exists():
        var.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(48))
    return file.read_text()
